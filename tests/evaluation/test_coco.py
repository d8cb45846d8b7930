"""COCO's measure: the reference's figures, hand-made cases, and malformed files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from typer.testing import CliRunner

from memvit.detection.rle import as_text, encoded, from_text
from memvit.evaluation.coco import FIGURES, evaluate
from memvit.types import MemvitError
from pipelines.cli.app import app
from tests.conftest import GOLDEN

FOLDER = GOLDEN / "coco_eval"


def test_the_figures_of_the_reference() -> None:
    expected = json.loads((FOLDER / "expected.json").read_text())
    found = evaluate(FOLDER / "instances.json", FOLDER / "detections.json.gz")
    assert list(found) == ["bbox", "segm"]
    for kind, figures in found.items():
        assert list(figures) == list(FIGURES)
        assert figures == pytest.approx(expected[kind], abs=1e-9)


def truth(**changes: Any) -> dict[str, Any]:
    """One picture with one object of 20 × 10 pixels; annotation ids begin at 0."""
    row = {"id": 0, "image_id": 1, "category_id": 3, "bbox": [10, 10, 20, 10], "area": 200, **changes}
    return {
        "images": [{"id": 1, "height": 50, "width": 60}],
        "annotations": [row],
        "categories": [{"id": 3, "name": "a"}],
    }


def detection(**changes: Any) -> dict[str, Any]:
    return {"image_id": 1, "category_id": 3, "bbox": [10, 10, 20, 10], "score": 0.9, **changes}


def figures_of(folder: Path, instances: Any, results: Any) -> dict[str, dict[str, float]]:
    (folder / "truth.json").write_text(json.dumps(instances))
    (folder / "found.json").write_text(json.dumps(results))
    return evaluate(folder / "truth.json", folder / "found.json")


def test_an_object_that_is_found_counts_whatever_its_id_is(tmp_path: Path) -> None:
    found = figures_of(tmp_path, truth(), [detection()])
    assert list(found) == ["bbox"]
    assert [found["bbox"][name] for name in ("AP", "AP50", "APs")] == pytest.approx([1, 1, 1])
    assert found["bbox"]["APl"] == -1


def test_a_box_of_less_overlap_counts_at_some_thresholds(tmp_path: Path) -> None:
    found = figures_of(tmp_path, truth(), [detection(bbox=[10, 10, 20, 13])])["bbox"]  # IoU 200 / 260 = 0.77
    assert (found["AP50"], found["AP75"], found["AP"]) == pytest.approx((1, 1, 0.6))


def test_nothing_found_is_zero(tmp_path: Path) -> None:
    assert figures_of(tmp_path, truth(), [])["bbox"]["AP"] == 0


def test_masks_are_measured_where_both_files_have_them(tmp_path: Path) -> None:
    mask = np.zeros((50, 60), bool)
    mask[10:20, 10:30] = True
    square = truth(segmentation=[[10, 10, 30, 10, 30, 20, 10, 20]])
    found = figures_of(tmp_path, square, [detection(segmentation=encoded(mask))])
    assert found["segm"]["AP"] == pytest.approx(1)
    mask[15:] = False
    found = figures_of(tmp_path, square, [detection(segmentation=encoded(mask))])
    assert (found["segm"]["AP50"], found["segm"]["AP75"], found["bbox"]["AP"]) == pytest.approx((1, 0, 1))


@given(some.lists(some.integers(0, 10**6), min_size=1, max_size=30))
def test_run_lengths_survive_the_text(lengths: list[int]) -> None:
    assert from_text(as_text(lengths)) == lengths


@pytest.mark.parametrize(
    ("instances", "results", "sentence"),
    [
        ([], [detection()], r"truth\.json: COCO's instances are expected"),
        ({**truth(), "annotations": None}, [detection()], r"truth\.json: it has no annotations"),
        (truth(area="x"), [detection()], r"annotation 0: area should be a number"),
        (truth(image_id=7), [detection()], r"annotation 0: image_id 7 is none"),
        (truth(segmentation=[[1, 2, 3]]), [detection()], r"annotation 0: its segmentation .* polygon"),
        (truth(), {}, r"found\.json: COCO's results are expected"),
        (truth(), [detection(image_id=2)], r"detection 1: image_id 2 is none of those"),
        (truth(), [detection(category_id=4)], r"detection 1: category_id 4"),
        (truth(), [detection(), detection(bbox=[1, 2])], r"detection 2: bbox should be"),
        (truth(), [detection(score=None)], r"detection 1: score should be a number, it is null"),
        (truth(), [detection(segmentation={"size": [50, 60], "counts": "~~"})], r"run lengths are damaged"),
        (truth(), [detection(segmentation={"size": [5, 6], "counts": "N"})], r"its size should be \[50, 60\]"),
        (
            truth(),
            [detection(segmentation={"size": [50, 60], "counts": as_text([10])})],
            r"10 pixels",
        ),
    ],
)
def test_malformed_files_get_a_sentence(instances: Any, results: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(MemvitError, match=sentence):
        figures_of(tmp_path, instances, results)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_gets_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "found.json").write_bytes(content)
    with pytest.raises(MemvitError, match="not valid JSON"):
        evaluate(FOLDER / "instances.json", tmp_path / "found.json")
    (tmp_path / "found.json.gz").write_bytes(gzip.compress(b"[]")[:-9])
    with pytest.raises(MemvitError, match="not valid JSON"):
        evaluate(FOLDER / "instances.json", tmp_path / "found.json.gz")


def test_the_command_prints_a_table_or_json() -> None:
    words = ["coco-map", str(FOLDER / "instances.json"), str(FOLDER / "detections.json.gz")]
    table = CliRunner().invoke(app, words)
    assert table.exit_code == 0 and "AP50" in table.output and "62.6" in table.output and "masks" in table.output
    as_json = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert as_json == evaluate(FOLDER / "instances.json", FOLDER / "detections.json.gz")
    missing = CliRunner().invoke(app, [*words[:2], "nowhere.json"])
    assert missing.exit_code == 1 and "nowhere.json: the file cannot be read" in missing.output.replace("\n", "")
