"""`memvit evaluate` and `memvit ava-map` on a data set in AVA's format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from memvit.datasets.ava import read_annotations
from memvit.datasets.long_cue import Scene, write_long_cue
from memvit.models import create_model
from pipelines.cli.app import app
from tests.conftest import GOLDEN, filled

CONFIG = str(Path(__file__).parents[3] / "configs" / "long_cue" / "tiny.yaml")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long_cue")
    write_long_cue(folder, {"val": [Scene(seed, actors=2, seconds=7 + seed, width=64, height=64) for seed in range(3)]})
    torch.save(filled(create_model("memvit_tiny_8x4", num_classes=8)).state_dict(), folder / "tiny.pth")
    return folder


def evaluate(data: Path, out: Path, *more: str) -> dict[str, object]:
    options = [
        f"data.videos={data}/videos",
        f"data.val_groundtruth={data}/val.csv",
        f"data.label_map={data}/saw.pbtxt",
        "model.reads=[2,4]",
    ]
    command = ["evaluate", CONFIG, *options, "--checkpoint", str(data / "tiny.pth"), "--out", str(out), "--json", *more]
    result = CliRunner().invoke(app, command)
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
