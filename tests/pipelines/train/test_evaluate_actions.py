"""`memvit evaluate` and `memvit ava-map` on a data set in AVA's format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from memvit.datasets.ava import read_annotations
from memvit.datasets.long_cue import Scene, write_long_cue
from memvit.models import create_model
from memvit.models.weights.files import has_memory
from pipelines.cli.app import app
from tests.conftest import GOLDEN, filled

CONFIG = str(Path(__file__).parents[3] / "configs" / "long_cue" / "tiny.yaml")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long_cue")
    write_long_cue(folder, {"val": [Scene(seed, actors=2, seconds=7 + seed, width=64, height=64) for seed in range(3)]})
    torch.save(filled(create_model("memvit_tiny_8x4", num_classes=8)).state_dict(), folder / "tiny.pth")
    return folder


def invoke(data: Path, out: Path, *more: str, checkpoint: Path | None = None) -> Result:
    """`memvit evaluate` on the test set."""
    options = [
        f"data.videos={data}/videos",
        f"data.val_groundtruth={data}/val.csv",
        f"data.label_map={data}/saw.pbtxt",
        "model.reads=[2,4]",
    ]
    weights = str(checkpoint or data / "tiny.pth")
    command = ["evaluate", CONFIG, *options, "--checkpoint", weights, "--out", str(out), "--json", *more]
    return CliRunner().invoke(app, command)


def evaluate(data: Path, out: Path, *more: str, checkpoint: Path | None = None) -> dict[str, object]:
    """The metrics that `memvit evaluate` prints."""
    result = invoke(data, out, *more, checkpoint=checkpoint)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_lanes_change_nothing_and_the_csv_gives_the_same_map(data: Path, tmp_path: Path) -> None:
    alone = evaluate(data, tmp_path / "one", "run.batch_size=1")
    together = evaluate(data, tmp_path / "three", "run.batch_size=3")
    assert together["mAP@0.5IOU"] == pytest.approx(alone["mAP@0.5IOU"], abs=1e-3)
    lines = (tmp_path / "one" / "detections.csv").read_text().splitlines()
    videos = read_annotations([data / "val.csv"], num_classes=8)
    assert len(lines) == 8 * sum(len(keyframe.boxes) for video in videos for keyframe in video.keyframes)
    command = ["ava-map", str(data / "val.csv"), str(tmp_path / "one" / "detections.csv"), "--json"]
    result = CliRunner().invoke(app, [*command, "--label-map", str(data / "saw.pbtxt")])
    assert json.loads(result.stdout)["mAP@0.5IOU"] == pytest.approx(alone["mAP@0.5IOU"], abs=0.02), "four digits"


def test_memory_makes_a_difference(data: Path, tmp_path: Path) -> None:
    evaluate(data, tmp_path / "with")
    evaluate(data, tmp_path / "without", "--no-memory")
    assert (tmp_path / "with/detections.csv").read_text() != (tmp_path / "without/detections.csv").read_text()


@pytest.mark.parametrize("part", ["head", "memory"])
def test_a_checkpoint_that_leaves_parameters_untrained_is_not_evaluated(part: str, data: Path, tmp_path: Path) -> None:
    """Its head is of another number of classes, or it has no memory: those parameters would keep random values."""
    model = filled(create_model("memvit_tiny_8x4", num_classes=80 if part == "head" else 8))
    state = {name: value for name, value in model.state_dict().items() if part == "head" or not has_memory([name])}
    torch.save(state, tmp_path / "other.pth")
    result = invoke(data, tmp_path / "out", checkpoint=tmp_path / "other.pth")
    output = " ".join(result.stderr.split())
    assert result.exit_code == 1 and "other.pth: loaded a" in output and "stayed new, to be trained: " in output, output
    assert "an untrained head cannot be evaluated" in output and not (tmp_path / "out/detections.csv").exists()


def test_a_checkpoint_with_a_further_head_is_evaluated(data: Path, tmp_path: Path) -> None:
    """Parameters that are left out do not matter as long as the model has all of its own."""
    state = torch.load(data / "tiny.pth", weights_only=True)
    torch.save({**state, "head.another.weight": torch.zeros(3)}, tmp_path / "more.pth")
    expected = evaluate(data, tmp_path / "one")
    assert evaluate(data, tmp_path / "two", checkpoint=tmp_path / "more.pth") == expected


def test_ava_map_prints_every_action(tmp_path: Path) -> None:
    import gzip

    detections = tmp_path / "detections.csv"
    detections.write_bytes(gzip.decompress((GOLDEN / "ava_eval/detections.csv.gz").read_bytes()))
    folder = GOLDEN / "ava_eval"
    command = ["ava-map", str(folder / "groundtruth.csv"), str(detections)]
    result = CliRunner().invoke(app, [*command, "--exclusions", str(folder / "excluded_timestamps.csv")])
    assert result.exit_code == 0
    assert "sail boat" in result.stdout and "0.2533" in result.stdout
    detections.write_text("v,902,0,0,1\n")
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1 and "detections.csv:1: 5 columns" in " ".join(result.stderr.split())
