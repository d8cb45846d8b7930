"""COCO's files, read and checked: pictures with their objects, and results."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memvit.detection.rle import check
from memvit.types import MemvitError

MAX_SIDE = 2**15
"""Of a picture: masks of its size are made."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Instances:
    """The pictures of a data set and the objects in them, as COCO's `instances_*.json`."""

    path: Path
    images: dict[int, Row]
    """By their ids."""
    annotations: list[Row]
    categories: list[Row]
    has_masks: bool
    """Whether every object has a mask."""

    def size(self, image_id: int) -> tuple[int, int]:
        """(height, width) of a picture."""
        image = self.images[image_id]
        return image["height"], image["width"]

    def for_pycocotools(self) -> Row:
        """The content of a file; objects are counted from 1, for 0 counts as nothing there."""
        annotations = [{**row, "id": number} for number, row in enumerate(self.annotations, 1)]
        return {"images": list(self.images.values()), "annotations": annotations, "categories": self.categories}


def read_instances(path: Path) -> Instances:
    """MemvitError, with the place, if a file is not as COCO's."""
    content = _read(path)
    if not isinstance(content, dict) or not all(_is_rows(content.get(key)) for key in ("images", "categories")):
        raise MemvitError(f"{path}: COCO's instances are expected: an object with images, annotations and categories")
    if not _is_rows(content.get("annotations")):
        raise MemvitError(f"{path}: it has no annotations, so nothing can be measured with it")
    for image in content["images"]:
        sides = (image.get("height"), image.get("width"))
        if type(image.get("id")) is not int or not all(type(side) is int and 0 < side <= MAX_SIDE for side in sides):
            raise MemvitError(f"{path}: a picture needs an id, a height and a width; found {_short(image)}")
    images = {image["id"]: image for image in content["images"]}
    categories = {category.get("id") for category in content["categories"]}
    rows = [{"iscrowd": 0, **row} for row in content["annotations"]]
    has_masks = bool(rows) and all("segmentation" in row for row in rows)
    for row in rows:
        where = f"{path}: annotation {row.get('id')}"
        _check_row(row, where, images, categories, "area")
        if has_masks:
            _check_mask(row, where, images)
    return Instances(path, images, rows, content["categories"], has_masks)


def read_results(path: Path, instances: Instances) -> list[Row]:
    """MemvitError, with the place, if a file is not as COCO's results, or not of these pictures."""
    content = _read(path)
    if not _is_rows(content):
        raise MemvitError(f"{path}: COCO's results are expected: a list of objects with image_id, category_id, score …")
    categories = {category["id"] for category in instances.categories}
    for number, row in enumerate(content, 1):
        where = f"{path}: detection {number}"
        _check_row(row, where, instances.images, categories, "score")
        if "segmentation" in row:
            _check_mask(row, where, instances.images)
    return list(content)


def _check_row(row: Row, where: str, images: dict[int, Row], categories: Iterable[Any], number: str) -> None:
    for key, known in (("image_id", images), ("category_id", categories)):
        value = row.get(key)
        if type(value) is not int or value not in known:
            raise MemvitError(f"{where}: {key} {_short(value)} is none of those of the data set; are both files of it?")
    if not _is_number(row.get(number)):
        raise MemvitError(f"{where}: {number} should be a number, it is {_short(row.get(number))}")
    box = row.get("bbox")
    if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
        raise MemvitError(f"{where}: bbox should be x, y, width and height, it is {_short(box)}")


def _check_mask(row: Row, where: str, images: dict[int, Row]) -> None:
    image = images[row["image_id"]]
    try:
        check(row["segmentation"], (image["height"], image["width"]))
    except ValueError as error:
        raise MemvitError(f"{where}: its segmentation cannot be used: {error}") from error


def _read(path: Path) -> Any:
    try:
        content = path.read_bytes()
        return json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
    except OSError as error:
        raise MemvitError(f"{path}: the file cannot be read ({error.strerror or error}); check the path") from error
    except (ValueError, EOFError, RecursionError) as error:
        raise MemvitError(f"{path}: this is not valid JSON") from error


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
