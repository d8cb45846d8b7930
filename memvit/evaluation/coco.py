"""COCO's measure of boxes and masks, computed by pycocotools, its reference."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal

from memvit.datasets.coco_files import Instances, Row, read_instances, read_results

Kind = Literal["bbox", "segm"]
FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""Average precision over IoU 0.50 to 0.95, at 0.50, at 0.75, of small, medium and large objects; average recall with at
most 1, 10 and 100 detections a picture, and of small, medium and large objects. −1 where there are no such objects."""


def evaluate(instances: str | Path | Instances, results: str | Path | list[Row]) -> dict[str, dict[str, float]]:
    """The twelve figures of boxes (`bbox`) and, where both files have masks, of masks (`segm`).

    `instances` and `results` are COCO's files, or what was read of them. MemvitError if one is malformed.
    """
    truth = instances if isinstance(instances, Instances) else read_instances(Path(instances))
    rows = results if isinstance(results, list) else read_results(Path(results), truth)
    kinds: list[Kind] = ["bbox"]
    if truth.has_masks and all("segmentation" in row for row in rows):
        kinds.append("segm")
    return {kind: _figures(truth, rows, kind) for kind in kinds}


def _figures(truth: Instances, rows: list[Row], kind: Kind) -> dict[str, float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    # NOTE: the area of a mask is its pixels; with boxes in the results, pycocotools would take the area of the box.
    left_out = "bbox" if kind == "segm" else "segmentation"
    rows = [{key: value for key, value in row.items() if key != left_out} for row in rows]
    with redirect_stdout(io.StringIO()):
        known: Any = COCO()
        known.dataset = truth.for_pycocotools()
        known.createIndex()
        measure = COCOeval(known, known.loadRes(rows) if rows else _nothing(truth), kind)
        measure.evaluate()
        measure.accumulate()
        measure.summarize()
    return {name: float(value) for name, value in zip(FIGURES, measure.stats, strict=True)}


def _nothing(truth: Instances) -> Any:
    """Results without a detection, which pycocotools does not read."""
    from pycocotools.coco import COCO

    empty: Any = COCO()
    empty.dataset = {**truth.for_pycocotools(), "annotations": []}
    empty.createIndex()
    return empty
