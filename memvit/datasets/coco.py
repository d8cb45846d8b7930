"""Pictures with objects in COCO's format: the public data set, or one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from memvit.detection.learning.targets import Mask
from memvit.detection.rle import decoded
from memvit.types import MemvitError

from .coco_files import Instances, Row, read_instances
from .pictures import read_picture


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of one picture, in its pixels."""

    boxes: Tensor
    """(M, 4) float32 xyxy, within the picture and not empty."""
    labels: Tensor
    """(M,) int64"""
    masks: tuple[Mask, ...] | None
    """None where the data set has no masks."""


class CocoPictures:
    """The pictures of a file of instances. Classes are the categories in the order of their ids."""

    def __init__(self, instances: str | Path, folder: str | Path, *, num_classes: int) -> None:
        """MemvitError, in one sentence, if a file is malformed, or has other classes than the detector."""
        self.instances = read_instances(Path(instances))
        self.folder = Path(folder)
        self.category_ids = check_categories(self.instances, num_classes)
        check_masks(self.instances)
        for image in self.instances.images.values():
            check_name(image, self.instances.path)
        self.rows: dict[int, list[Row]] = {number: [] for number in self.instances.images}
        for row in self.instances.annotations:
            self.rows[row["image_id"]].append(row)
        self.ids = sorted(self.instances.images)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the classes."""
        by_id = {category["id"]: str(category["name"]) for category in self.instances.categories}
        return tuple(by_id[number] for number in self.category_ids)

    def with_objects(self) -> list[int]:
        """The ids of the pictures that have an object which can be learned."""
        return [number for number in self.ids if any(map(is_learned, self.rows[number]))]

    def path(self, image_id: int) -> Path:
        """The file of a picture."""
        return self.folder / str(self.instances.images[image_id]["file_name"])

    def picture(self, image_id: int) -> Tensor:
        """(3, H, W) uint8 RGB. MemvitError if it cannot be read, or has another size than the file of instances says.

        Objects are given in pixels of the picture as its file says it is to be shown.
        """
        pixels = torch.from_numpy(read_picture(self.path(image_id))).permute(2, 0, 1)
        height, width = self.instances.size(image_id)
        if tuple(pixels.shape[1:]) != (height, width):
            raise MemvitError(
                f"{self.path(image_id)}: it has {pixels.shape[2]} × {pixels.shape[1]} pixels, but "
                f"{self.instances.path} says {width} × {height}"
            )
        return pixels

    def objects(self, image_id: int) -> Objects:
        """The objects of a picture that are learned: not crowds, and not empty."""
        size = self.instances.size(image_id)
        rows = [row for row in self.rows[image_id] if is_learned(row)]
        boxes = torch.tensor([row["bbox"] for row in rows], dtype=torch.float32).view(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        label_of = {number: label for label, number in enumerate(self.category_ids)}
        labels = torch.tensor([label_of[row["category_id"]] for row in rows], dtype=torch.int64)
        masks = tuple(mask_of(row["segmentation"], size) for row in rows) if self.instances.has_masks else None
        return Objects(boxes, labels, masks)


def is_learned(row: Row) -> bool:
    """Whether an annotation is one object with a width and a height."""
    return not row["iscrowd"] and row["bbox"][2] > 0 and row["bbox"][3] > 0


def mask_of(segmentation: object, size: tuple[int, int]) -> Mask:
    """Polygons, or run lengths as pixels, of what `read_instances` has checked."""
    if isinstance(segmentation, dict):
        return torch.from_numpy(decoded(segmentation["counts"], size))
    assert isinstance(segmentation, list)
    return tuple(np.asarray(polygon, dtype=np.float64) for polygon in segmentation)


def check_categories(instances: Instances, num_classes: int) -> tuple[int, ...]:
    """The ids of the categories, ascending. MemvitError if they are none, or not as many as the detector's classes."""
    ids = []
    for category in instances.categories:
        number, name = category.get("id"), category.get("name")
        if type(number) is not int or not isinstance(name, str) or not name:
            raise MemvitError(f"{instances.path}: a category needs an id, a whole number, and a name; found {category}")
        ids.append(number)
    twice = sorted({number for number in ids if ids.count(number) > 1})
    if twice:
        raise MemvitError(f"{instances.path}: two categories have the id {twice[0]}; give each its own")
    if len(ids) != num_classes:
        raise MemvitError(
            f"{instances.path}: it has {len(ids)} categories, but the detector has {num_classes} classes; pass "
            f"model.num_classes={len(ids)}"
        )
    return tuple(sorted(ids))


def check_masks(instances: Instances) -> None:
    """MemvitError if some objects have masks and others have none."""
    with_masks = [row for row in instances.annotations if "segmentation" in row]
    if with_masks and not instances.has_masks:
        first = next(row for row in instances.annotations if "segmentation" not in row)
        raise MemvitError(
            f"{instances.path}: annotation {first.get('id')} has no segmentation, but others have one; give all "
            "objects masks, or none"
        )


def check_name(image: Row, path: Path) -> None:
    """MemvitError if a picture's file has no name, or one outside its folder."""
    name = image.get("file_name")
    if not isinstance(name, str) or not name or "\0" in name:
        raise MemvitError(f"{path}: picture {image['id']} has no file_name")
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise MemvitError(f"{path}: picture {image['id']}: file_name {name!r} leads out of the folder of pictures")
