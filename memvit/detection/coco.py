"""COCO's categories, and detections as COCO's results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from memvit.labels import labels_for

from .detections import Detections
from .rle import encoded

MISSING_IDS = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
CATEGORY_IDS = tuple(number for number in range(1, 91) if number not in MISSING_IDS)
"""The id of each of the 80 classes in COCO's files; ten numbers were given up."""
PERSON = 0
"""The class of people."""


@dataclass(frozen=True)
class Categories:
    """What the classes of a detector are called in files."""

    ids: tuple[int, ...] = CATEGORY_IDS
    """The id of each class."""
    names: tuple[str, ...] = labels_for(len(CATEGORY_IDS), "coco").names


def numbered(count: int) -> Categories:
    """COCO's if they are as many; else ids and names that are numbers."""
    if count == len(CATEGORY_IDS):
        return Categories()
    return Categories(tuple(range(1, count + 1)), labels_for(count, None).names)


def results_of(
    detections: Detections, image_id: int, category_ids: tuple[int, ...] = CATEGORY_IDS
) -> list[dict[str, Any]]:
    """Objects of one picture as entries of COCO's results, with masks where there are any; classes have these ids."""
    rows = []
    columns = (detections.boxes.tolist(), detections.scores.tolist(), detections.labels.tolist())
    for index, ((x1, y1, x2, y2), score, label) in enumerate(zip(*columns, strict=True)):
        row: dict[str, Any] = {
            "image_id": image_id,
            "category_id": category_ids[label],
            "bbox": [round(x1, 2), round(y1, 2), round(x2 - x1, 2), round(y2 - y1, 2)],
            "score": round(score, 5),
        }
        if len(detections.masks):
            row["segmentation"] = encoded(detections.mask(index).numpy())
        rows.append(row)
    return rows
