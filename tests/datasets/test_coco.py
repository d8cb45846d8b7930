"""Pictures with objects in COCO's format, and what is said of those that are not in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from memvit.datasets.coco import CocoPictures
from memvit.datasets.shapes import SHAPES, SIDE, render, write_shapes
from memvit.detection.learning.targets import drawn_polygons, masks_in_boxes
from memvit.types import MemvitError

Content = dict[str, Any]


def content() -> Content:
    """One picture with an object that has polygons, one with run lengths, a crowd, and one that is empty."""
    square = [[2.0, 1, 6, 1, 6, 5, 2, 5]]
    runs = {"size": [6, 8], "counts": [12, 2, 34]}
    rows = [
        {"category_id": 30, "bbox": [2, 1, 4, 4], "segmentation": square, "iscrowd": 0},
        {"category_id": 7, "bbox": [2, 0, 1, 2], "segmentation": runs, "iscrowd": 0},
        {"category_id": 7, "bbox": [0, 0, 8, 6], "segmentation": runs, "iscrowd": 1},
        {"category_id": 7, "bbox": [3, 3, 0, 2], "segmentation": square, "iscrowd": 0},
    ]
    return {
        "images": [
            {"id": number, "width": 8, "height": 6, "file_name": name} for number, name in ((4, "a.png"), (3, "b.png"))
        ],
        "annotations": [{"id": number, "image_id": 4, "area": 4.0, **row} for number, row in enumerate(rows, 1)],
        "categories": [{"id": 30, "name": "late"}, {"id": 7, "name": "early"}],
    }


def pictures_of(folder: Path, data: Content, num_classes: int = 2) -> CocoPictures:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 6), (200, 100, 0)).save(folder / name)
    (folder / "instances.json").write_text(json.dumps(data))
    return CocoPictures(folder / "instances.json", folder, num_classes=num_classes)


def test_classes_are_the_categories_by_their_ids(tmp_path: Path) -> None:
    pictures = pictures_of(tmp_path, content())
    assert (pictures.category_ids, pictures.names) == ((7, 30), ("early", "late"))
    assert pictures.objects(4).labels.tolist() == [1, 0]


def test_objects_are_learned_but_not_crowds_and_empty_ones(tmp_path: Path) -> None:
    pictures = pictures_of(tmp_path, content())
    assert pictures.ids == [3, 4] and pictures.with_objects() == [4]
    objects = pictures.objects(4)
    assert objects.boxes.tolist() == [[2, 1, 6, 5], [2, 0, 3, 2]]
    assert len(pictures.objects(3).boxes) == 0
    assert objects.masks is not None
    polygons, pixels = objects.masks
    assert isinstance(pixels, torch.Tensor) and pixels.nonzero().tolist() == [[0, 2], [1, 2]]
    assert not isinstance(polygons, torch.Tensor) and drawn_polygons(polygons, (6, 8)).sum() == 16
    assert pictures.picture(4).shape == (3, 6, 8) and pictures.picture(4)[:, 0, 0].tolist() == [200, 100, 0]


def test_a_picture_has_the_size_that_is_said(tmp_path: Path) -> None:
    pictures = pictures_of(tmp_path, content())
    Image.new("RGB", (6, 8)).save(tmp_path / "a.png")
    with pytest.raises(MemvitError, match=r"a\.png: it has 6 × 8 pixels, but .*instances\.json says 8 × 6"):
        pictures.picture(4)


def changed(path: str, value: Any) -> Callable[[Content], Content]:
    """The content with a value at a place such as `annotations.0.bbox`; None removes it."""

    def change(data: Content) -> Content:
        *parents, last = path.split(".")
        place: Any = data
        for part in parents:
            place = place[int(part) if part.isdigit() else part]
        if value is None:
            del place[last]
        else:
            place[last] = value
        return data

    return change


WRONG = {
    "a category without a name": (changed("categories.0.name", None), "a category needs an id, a whole number"),
    "two categories of one id": (changed("categories.0.id", 7), "category_id 30 is none of those"),
    "a box of three numbers": (changed("annotations.0.bbox", [1, 2, 3]), "annotation 1: bbox should be x, y"),
    "a box of text": (changed("annotations.0.bbox", "1234"), "annotation 1: bbox should be"),
    "a picture that is not there": (changed("annotations.1.image_id", 9), "annotation 2: image_id 9 is none"),
    "masks of some objects": (changed("annotations.1.segmentation", None), "annotation 2 has no segmentation, but"),
    "a line for a mask": (changed("annotations.0.segmentation", [[1, 2, 3, 4]]), "three points"),
    "a mask of another size": (changed("annotations.1.segmentation.counts", [1, 2]), "its runs have 3 pixels"),
    "a picture without a size": (changed("images.0.height", None), "a picture needs an id, a height and a width"),
    "a huge picture": (changed("images.0.height", 10**9), "a picture needs an id, a height and a width"),
    "a picture without a file": (changed("images.0.file_name", None), "picture 4 has no file_name"),
    "a file elsewhere": (changed("images.0.file_name", "../../etc/passwd"), "leads out of the folder"),
    "no objects at all": (changed("annotations", None), "it has no annotations"),
}


@pytest.mark.parametrize(("change", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said_in_a_sentence(
    change: Callable[[Content], Content], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(MemvitError, match=sentence):
        pictures_of(tmp_path, change(content()))


def test_another_number_of_classes_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(MemvitError, match=r"2 categories, but the detector has 80 classes; pass model.num_classes=2"):
        pictures_of(tmp_path, content(), num_classes=80)


def test_two_categories_of_one_id_are_refused(tmp_path: Path) -> None:
    data = content()
    data["categories"].append({"id": 7, "name": "again"})
    with pytest.raises(MemvitError, match="two categories have the id 7"):
        pictures_of(tmp_path, data, num_classes=3)


def test_shapes_are_what_their_objects_say(tmp_path: Path) -> None:
    path = write_shapes(tmp_path, 6, seed=5)
    pictures = CocoPictures(path, tmp_path / "pictures", num_classes=len(SHAPES))
    assert pictures.names == SHAPES and len(pictures) == 6
    kinds = set()
    for number in pictures.ids:
        pixels, objects = pictures.picture(number), pictures.objects(number)
        assert pixels.shape == (3, SIDE, SIDE) and 1 <= len(objects.labels) <= 5
        assert objects.masks is not None
        inside = masks_in_boxes(objects.masks, objects.boxes, 28).float().mean(dim=(1, 2))
        assert (inside > 0.35).all() and (inside < 0.97).all(), "a turned triangle to an upright square"
        kinds |= {isinstance(mask, torch.Tensor) for mask in objects.masks}
    assert kinds == {True, False}
    assert (render(11)[0] == render(11)[0]).all()
