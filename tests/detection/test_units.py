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
from memvit.detection.gathered_pooling import GatheredPooling
from memvit.detection.images import resized, resized_size
from memvit.detection.masks import pasted
from memvit.detection.pooling import Pooling, levels_of

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


@pytest.mark.parametrize("pooling", [Pooling(), GatheredPooling()], ids=["operator", "gathered"])
def test_every_box_is_pooled_from_the_map_of_its_level(pooling: Pooling) -> None:
    """Maps of one value each: what is pooled says from which map it came."""
    maps = [torch.full((1, 1, 200 // stride, 200 // stride), float(level)) for level, stride in enumerate(STRIDES[:4])]
    boxes = torch.tensor([[40.0, 40, 60, 60], [20, 20, 132, 132], [0, 0, 150, 150], [10, 10, 10, 30]])
    found = pooling(pooling.prepared(maps), [boxes], 7)
    assert found[:3].mean(dim=(1, 2, 3)).tolist() == [0.0, 1.0, 1.0]
    assert found[3].abs().max() == 0


def test_boxes_are_pooled_alike_in_both_ways() -> None:
    """Boxes that are empty, tiny, over the edges and outside, in two pictures of two sizes."""
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, 3, 320 // stride, 256 // stride, generator=generator) for stride in STRIDES[:4]]
    corners = torch.rand(60, 2, generator=generator) * torch.tensor([300.0, 360]) - 20
    boxes = torch.cat((corners, corners + torch.rand(60, 2, generator=generator) * 200), dim=1)
    boxes[:3] = torch.tensor([[5.0, 5, 5, 5], [-40, -40, -20, -20], [0.0, 0, 256, 320]])
    parts = [boxes[:40], boxes[40:]]
    operator, gathered = Pooling(), GatheredPooling()
    for side in (7, 14):
        expected = operator(operator.prepared(maps), parts, side)
        found = gathered(gathered.prepared(maps), parts, side)
        assert found.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)
    assert gathered(gathered.prepared(maps), [boxes[:0], boxes[:0]], 7).shape == (0, 3, 7, 7)


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
