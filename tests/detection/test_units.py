"""Single pieces against the reference: anchors, boxes, levels, the last selection, masks, sizes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from memvit.detection.boxes import anchors_of, decoded
from memvit.detection.config import STRIDES, Selection
from memvit.detection.detections import best_detections
from memvit.detection.images import resized, resized_size
from memvit.detection.masks import pasted
from memvit.detection.pooling import levels_of, pooled

from .conftest import FOLDER, images

UNITS: Mapping[str, NDArray[Any]] = np.load(FOLDER / "units.npz")


def unit(key: str) -> Tensor:
    return torch.from_numpy(UNITS[key])


@pytest.mark.parametrize(("level", "size"), list(enumerate((32.0, 64.0, 128.0, 256.0, 512.0))))
def test_anchors(level: int, size: float) -> None:
    stored = unit(f"anchors/p{level + 2}")
    shapes = {240: (8, 10), 60: (4, 5), 18: (2, 3), 6: (1, 2), 3: (1, 1)}
    found = anchors_of(*shapes[len(stored)], STRIDES[level], size, torch.device("cpu"))
    assert torch.equal(found, stored)


@pytest.mark.parametrize(("name", "weight"), [("w1", 1.0), ("w10", 10.0), ("w20", 20.0), ("w30", 30.0)])
def test_boxes_are_decoded(name: str, weight: float) -> None:
    weights = (weight, weight, weight / (1 if weight == 1 else 2), weight / (1 if weight == 1 else 2))
    found = decoded(unit("decode/deltas"), unit("decode/boxes"), weights)
    assert torch.allclose(found, unit(f"decode/{name}"), rtol=1e-6, atol=1e-4)


def test_levels_of_boxes() -> None:
    assert torch.equal(levels_of(unit("levels/boxes")) + 2, unit("levels/level"))


def test_every_box_is_pooled_from_the_map_of_its_level() -> None:
    """Maps of one value each: what is pooled says from which map it came."""
    maps = [torch.full((1, 1, 200 // stride, 200 // stride), float(level)) for level, stride in enumerate(STRIDES[:4])]
    boxes = torch.tensor([[40.0, 40, 60, 60], [20, 20, 132, 132], [0, 0, 150, 150], [10, 10, 10, 30]])
    found = pooled(maps, [boxes], 7)
    assert found[:3].mean(dim=(1, 2, 3)).tolist() == [0.0, 1.0, 1.0]
    assert found[3].abs().max() == 0


@pytest.mark.parametrize("most", [20, 100, -1])
def test_the_last_selection(most: int) -> None:
    rule = Selection(detections=most)
    boxes, scores = unit("final/in_boxes"), unit("final/in_scores")
    found = best_detections(boxes, scores[:, :-1], (256, 320), rule)
    assert torch.equal(found[1], unit(f"final/top{most}/scores"))
    assert torch.equal(found[2], unit(f"final/top{most}/classes"))
    assert torch.equal(found[0], unit(f"final/top{most}/boxes"))


def test_masks_are_pasted() -> None:
    masks = pasted(unit("paste/prob"), unit("paste/boxes"), (80, 100))
    for index, bits in enumerate(UNITS["paste/bits"]):
        expected = np.unpackbits(bits).astype(bool).reshape(80, 100)
        assert (masks.mask(index).numpy() != expected).sum() <= 3
    assert sum(part.nbytes for part in masks.bits) < UNITS["paste/bits"].nbytes


def test_sizes() -> None:
    for (height, width), expected in zip(UNITS["resize/in"], UNITS["resize/out_800_1333"], strict=True):
        assert resized_size(int(height), int(width), 800, 1333) == tuple(expected)


def test_a_picture_is_resized_to_the_same_pixels() -> None:
    (picture,) = images(("e2e", 200, 250))
    found = resized(picture, resized_size(200, 250, 256, 427)).contiguous().numpy()
    stored = np.load(FOLDER / "mask_rcnn_mvitv2_t_3x.e2e.npz")
    assert hashlib.sha256(found.tobytes()).digest() == stored["image/0/sha256"].tobytes()
