"""Losses in cases made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from memvit.detection.boxes import decoded, encoded
from memvit.detection.learning.losses import (
    ANCHORS,
    LabelledBoxes,
    box_losses,
    labelled,
    mask_loss,
    proposal_losses,
    some_labelled,
)
from memvit.detection.learning.network import scaled_gradient
from memvit.detection.learning.targets import Targets, masks_in_boxes

WEIGHTS = (10.0, 10.0, 5.0, 5.0)
CLASSES = 3


def picture(*boxes: tuple[float, ...], labels: tuple[int, ...] = ()) -> Targets:
    return Targets(torch.tensor(boxes).view(-1, 4), torch.tensor(labels, dtype=torch.int64), None)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_encoding_is_the_inverse_of_decoding() -> None:
    boxes, wanted = torch.tensor([[0.0, 0, 10, 20], [5, 5, 9, 6]]), torch.tensor([[2.0, 4, 12, 8], [0, 0, 40, 2]])
    assert torch.allclose(decoded(encoded(boxes, wanted, WEIGHTS), boxes, WEIGHTS), wanted, atol=1e-5)
    assert encoded(boxes, boxes + 1, WEIGHTS)[0].tolist() == pytest.approx([1.0, 0.5, 0.0, 0.0])


def test_losses_of_proposals() -> None:
    """Of four anchors, the first is the object, and the second is neither object nor background."""
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [50, 50, 60, 60], [70, 70, 80, 80]])
    logits = torch.tensor([0.0, 9.0, math.log(3), -100.0]).view(1, 1, 1, 4).permute(0, 3, 1, 2)
    deltas = torch.zeros(1, 16, 1, 1)
    deltas[0, :4, 0, 0] = torch.tensor([0.5, -0.25, 0.0, 1.0])
    objectness, boxes = proposal_losses(
        [logits], [deltas], [anchors], [picture((0, 0, 10, 10), labels=(0,))], [generator()]
    )
    assert float(objectness) * ANCHORS == pytest.approx(math.log(2) + math.log(4))
    assert float(boxes) * ANCHORS == pytest.approx(1.75)


def test_a_picture_without_objects_has_proposals_of_background() -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10]])
    objectness, boxes = proposal_losses(
        [torch.zeros(1, 1, 1, 1)], [torch.ones(1, 4, 1, 1)], [anchors], [picture()], [generator()]
    )
    assert (float(objectness) * ANCHORS, float(boxes)) == (pytest.approx(math.log(2)), 0.0)


def test_labels_of_boxes() -> None:
    found = labelled(
        torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 4], [20, 20, 30, 30]]),
        picture((0, 0, 10, 10), (20, 20, 30, 31), labels=(2, 1)),
        0.5,
        CLASSES,
    )
    assert found.labels.tolist() == [2, CLASSES, 1]
    few = some_labelled(found, 2, 0.5, CLASSES, generator())
    assert sorted(few.labels.tolist()) in ([1, CLASSES], [2, CLASSES])
    assert few.objects[0] == {2: 0, 1: 1}[int(few.labels[0])]


def box_head_losses(deltas: Tensor) -> tuple[float, float]:
    """Two pictures of two boxes and one box; one box of the first is an object of class 1."""
    first = LabelledBoxes(
        torch.tensor([[0.0, 0, 10, 10], [5, 5, 9, 9]]), torch.tensor([1, CLASSES]), torch.tensor([0, 0])
    )
    second = LabelledBoxes(torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([CLASSES]), torch.tensor([0]))
    logits = torch.zeros(3, CLASSES + 1)
    logits[2, CLASSES] = math.log(5)
    classes, boxes = box_losses(
        logits, deltas, [first, second], [picture((1, 1, 11, 11), labels=(1,)), picture()], WEIGHTS
    )
    return float(classes), float(boxes)


def test_losses_of_a_head_are_means_over_the_boxes_of_a_picture() -> None:
    classes, boxes = box_head_losses(torch.zeros(3, 4))
    assert classes == pytest.approx(math.log(4) + math.log(8 / 5))
    assert boxes == pytest.approx((1.0 + 1.0) / 2)


def test_a_box_of_each_class_is_read_where_there_is_one() -> None:
    deltas = torch.full((3, 4 * CLASSES), 7.0)
    deltas[0, 4:8] = torch.tensor([1.0, 1.0, 0.0, 0.0])
    assert box_head_losses(deltas)[1] == pytest.approx(0.0, abs=1e-6)


def test_the_loss_of_masks_is_a_mean_over_pixels_and_the_masks_of_a_picture() -> None:
    logits = torch.zeros(3, 2, 2)
    logits[2] = 100.0
    masks = torch.ones(3, 2, 2, dtype=torch.bool)
    assert float(mask_loss(logits, masks, [1, 2])) == pytest.approx(1.5 * math.log(2))
    assert float(mask_loss(logits[:0], masks[:0], [0, 0])) == 0.0


SQUARE = (np.array([2.0, 2, 6, 2, 6, 6, 2, 6]),)


def test_polygons_are_drawn_in_boxes() -> None:
    inside, half, around = masks_in_boxes([SQUARE] * 3, torch.tensor([[2.0, 2, 6, 6], [2, 2, 10, 6], [0, 0, 8, 8]]), 8)
    assert inside.all()
    assert half[:, :4].all() and not half[:, 4:].any()
    assert around[2:6, 2:6].all() and around.sum() == 16


def test_pixels_and_polygons_are_alike_in_boxes() -> None:
    pixels = torch.zeros(8, 8, dtype=torch.bool)
    pixels[2:6, 2:6] = True
    boxes = torch.tensor([[2.0, 2, 6, 6], [2, 2, 8, 6], [0, 0, 8, 8]])
    assert torch.equal(masks_in_boxes([pixels] * 3, boxes, 8), masks_in_boxes([SQUARE] * 3, boxes, 8))


def test_a_part_of_a_gradient_comes_back() -> None:
    features = torch.ones(3, requires_grad=True)
    scaled = scaled_gradient(features, 1 / 3)
    assert torch.equal(scaled, features)
    (2 * scaled).sum().backward()
    assert features.grad is not None and torch.allclose(features.grad, torch.full((3,), 2 / 3))
