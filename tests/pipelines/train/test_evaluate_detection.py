"""`memvit evaluate` of detectors: COCO's figures, COCO-O, and what is left of a killed evaluation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from memvit.datasets.shapes import SHAPES, write_shapes
from memvit.detection.checkpoints import save_own
from memvit.detection.coco import Categories
from memvit.detection.create import load_detector
from memvit.evaluation import detection
from memvit.evaluation.coco import evaluate
from memvit.evaluation.detection import DOMAINS, effective_robustness
from pipelines.cli.app import app
from tests.processes import Command, wait_for

CONFIG = str(Path(__file__).parents[3] / "configs" / "shapes.yaml")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    write_shapes(folder, 4, seed=100)
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector that knows nothing, but is sure of itself."""
    torch.manual_seed(0)
    detector, _ = load_detector("mask_rcnn_mvitv2_tiny", num_classes=len(SHAPES))
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    ids = tuple(range(1, len(SHAPES) + 1))
    save_own(detector.network, path, "mask_rcnn_mvitv2_tiny", Categories(ids, SHAPES), "nothing")
    return path


def words(shapes: Path, checkpoint: Path, out: Path, *more: str) -> list[str]:
    data = [f"data.val={shapes}/instances.json", f"data.val_pictures={shapes}/pictures", "data.short_side=64"]
    return ["evaluate", CONFIG, *data, *more, "--checkpoint", str(checkpoint), "--out", str(out), "--json"]


def run(arguments: list[str]) -> dict[str, Any]:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_figures_are_those_of_what_is_written(shapes: Path, checkpoint: Path, tmp_path: Path) -> None:
    found = run(words(shapes, checkpoint, tmp_path))
    assert found["pictures"] == 4 and found["failed"] == 0
    rows = json.loads((tmp_path / "detections.json").read_text())
    assert len(rows) > 4 and {row["category_id"] for row in rows} <= {1, 2, 3, 4}
    figures = evaluate(shapes / "instances.json", tmp_path / "detections.json")
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["figures"]["val"] == figures
    assert found["box_ap"] == 100 * figures["bbox"]["AP"] and found["mask_ap"] == 100 * figures["segm"]["AP"]


def test_an_evaluation_goes_on_where_it_ended(
    shapes: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(words(shapes, checkpoint, tmp_path / "whole"))
    shutil.copytree(tmp_path / "whole", tmp_path / "part")
    lines = (tmp_path / "whole" / "pictures.jsonl").read_text().splitlines(keepends=True)
    # As a kill within the third line leaves it.
    (tmp_path / "part" / "pictures.jsonl").write_text("".join(lines[:3]) + lines[3][:20])
    seen: list[int] = []
    results = detection.results_of
    monkeypatch.setattr(
        detection, "results_of", lambda found, number, ids: seen.append(number) or results(found, number, ids)
    )
    assert run(words(shapes, checkpoint, tmp_path / "part")) == whole
    assert seen == [3, 4]
    for name in ("pictures.jsonl", "detections.json", "metrics.json"):
        assert (tmp_path / "part" / name).read_text() == (tmp_path / "whole" / name).read_text()


@pytest.mark.slow
def test_a_killed_evaluation_goes_on(shapes: Path, checkpoint: Path, tmp_path: Path) -> None:
    whole = run(words(shapes, checkpoint, tmp_path / "whole"))
    command = Command(words(shapes, checkpoint, tmp_path / "killed"))
    lines = tmp_path / "killed" / "pictures.jsonl"
    wait_for(lambda: lines.exists() and lines.read_text().count("\n") > 1)
    command.kill()
    assert run(words(shapes, checkpoint, tmp_path / "killed")) == whole


def test_other_weights_or_data_need_another_folder(shapes: Path, checkpoint: Path, tmp_path: Path) -> None:
    run(words(shapes, checkpoint, tmp_path))
    result = CliRunner().invoke(app, words(shapes, checkpoint, tmp_path, "data.long_side=100"))
    assert result.exit_code == 1 and "predictions of another evaluation" in result.output


def test_a_picture_that_cannot_be_read_counts_as_missed(shapes: Path, checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(shapes, tmp_path / "data")
    (tmp_path / "data" / "pictures" / "000002.png").write_bytes(b"no picture")
    result = CliRunner().invoke(app, words(tmp_path / "data", checkpoint, tmp_path / "out"))
    assert result.exit_code == 1 and "000002.png: this is not a picture" in " ".join(result.output.split())
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["pictures"] == 4


def test_the_six_domains_of_coco_o(shapes: Path, checkpoint: Path, tmp_path: Path) -> None:
    for number, domain in enumerate(DOMAINS):
        instances = write_shapes(tmp_path / "data" / domain, 1, seed=number)
        (tmp_path / "data" / domain / "annotations").mkdir()
        instances.rename(tmp_path / "data" / domain / "annotations" / "instances_val2017.json")
        (tmp_path / "data" / domain / "pictures").rename(tmp_path / "data" / domain / "val2017")
    more = [f"data.domains={tmp_path}/data", "data.coco_box_ap=40"]
    found = run(words(shapes, checkpoint, tmp_path / "out", *more))
    assert found["pictures"] == 6
    each = [found[f"{domain}_box_ap"] for domain in DOMAINS]
    assert found["mean_box_ap"] == pytest.approx(sum(each) / 6)
    assert found["effective_robustness"] == pytest.approx(found["mean_box_ap"] - 18)
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) == sorted(DOMAINS)
    shutil.rmtree(tmp_path / "data" / "tattoo")
    result = CliRunner().invoke(app, words(shapes, checkpoint, tmp_path / "out", *more))
    assert result.exit_code == 1 and "these are missing: tattoo" in " ".join(result.output.split())


@pytest.mark.parametrize(("mean", "coco", "expected"), [(17.1, 42.0, -1.82), (18.5, 44.5, -1.49), (34.3, 58.7, 7.89)])
def test_effective_robustness_as_published(mean: float, coco: float, expected: float) -> None:
    assert effective_robustness(mean, coco) == pytest.approx(expected, abs=0.04)


def test_untrained_layers_cannot_be_evaluated(shapes: Path, checkpoint: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, words(shapes, checkpoint, tmp_path, "model.num_classes=5"))
    assert result.exit_code == 1 and "cannot be evaluated" in " ".join(result.output.split())
