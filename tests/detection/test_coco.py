"""COCO's categories, masks and results."""

from __future__ import annotations

import json

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays
from pycocotools.mask import encode

from memvit.detection import Detector
from memvit.detection.coco import CATEGORY_IDS, results_of
from memvit.detection.rle import as_text, encoded, run_lengths
from memvit.labels import labels_for

from .conftest import images


@given(arrays(np.bool_, some.tuples(some.integers(1, 20), some.integers(1, 20))))
def test_masks_are_encoded_as_pycocotools_does(mask: np.ndarray) -> None:
    expected = encode(np.asfortranarray(mask.astype(np.uint8)))
    assert encoded(mask) == {"size": list(mask.shape), "counts": expected["counts"].decode()}


def test_a_mask_by_hand() -> None:
    """Down the columns: one zero, two ones, one zero; then a column of ones alone."""
    mask = np.array([[0, 1], [1, 1], [1, 1], [0, 1]], bool)
    assert run_lengths(mask) == [1, 2, 1, 4]
    assert as_text([1, 2, 1, 4]) == "1212"
    assert run_lengths(np.ones((2, 2), bool)) == [0, 4]


def test_large_runs_take_several_characters() -> None:
    mask = np.zeros((600, 800), bool)
    mask[100:500, 50:700] = True
    assert encoded(mask)["counts"] == encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()


def test_categories() -> None:
    names = labels_for(80, "coco").names
    by_id = dict(zip(CATEGORY_IDS, names, strict=True))
    assert (by_id[1], by_id[13], by_id[44], by_id[90]) == ("person", "stop sign", "bottle", "toothbrush")
    assert len(set(names)) == len(by_id) == 80


def test_results_are_boxes_with_width_and_height(tiny_detector: Detector) -> None:
    (found,) = tiny_detector(images(("results", 64, 96)), short_side=None)
    rows = results_of(found, 7)
    assert len(rows) == len(found)
    x, y, width, height = rows[0]["bbox"]
    assert torch.allclose(torch.tensor([x, y, x + width, y + height]), found.boxes[0], atol=0.02)
    assert rows[0]["image_id"] == 7 and rows[0]["category_id"] == CATEGORY_IDS[int(found.labels[0])]
    assert sum(run_lengths(found.mask(0).numpy())[1::2]) == int(found.mask(0).sum())
    assert rows[0]["segmentation"] == encoded(found.mask(0).numpy())
    assert json.loads(json.dumps(rows)) == rows
