"""The vectors of appearance are alike for the same person, and differ between people."""

from __future__ import annotations

import numpy as np
import pytest

from memvit.tracking.appearance import SIZE, describe
from tools.crowd import Crowd


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    return Crowd(7, people=6, seconds=4, width=640, height=360)


def whole_boxes(crowd: Crowd, number: int) -> dict[int, np.ndarray]:
    """Boxes of the people of whom nearly all is visible."""
    persons, boxes, visible = crowd.frames[number]
    return {int(person): box for person, box, part in zip(persons, boxes, visible, strict=True) if part > 0.9}


def test_the_same_person_is_more_alike_than_others(crowd: Crowd) -> None:
    found = []
    for number in (0, 30, 60, 90):
        there = whole_boxes(crowd, number)
        vectors = describe(crowd.image(number), np.array(list(there.values())).reshape(-1, 4))
        found += list(zip(there, vectors, strict=True))
    alike = [
        (one == two, float(first @ second)) for one, first in found for two, second in found if first is not second
    ]
    same, different = ([value for is_same, value in alike if is_same is wanted] for wanted in (True, False))
    assert len(same) > 6 and min(same) > 0.85
    assert np.mean(different) < np.mean(same) - 0.15


def test_vectors_have_length_1_and_one_box_is_as_many(crowd: Crowd) -> None:
    image, boxes = crowd.image(10), np.array(list(whole_boxes(crowd, 10).values()))
    together = describe(image, boxes)
    assert together.shape == (len(boxes), SIZE) and together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    for box, vector in zip(boxes, together, strict=True):
        np.testing.assert_array_equal(describe(image, box[None])[0], vector)


def test_size_and_light_change_little(crowd: Crowd) -> None:
    image = crowd.image(10)
    boxes = np.array(list(whole_boxes(crowd, 10).values()))
    vector = describe(image, boxes)
    half = describe(np.ascontiguousarray(image[::2, ::2]), boxes)
    darker = describe((image * 0.8).astype(np.uint8), boxes)
    moved = describe(image, boxes + np.float32(0.005))
    for other in (half, darker, moved):
        assert (vector * other).sum(axis=1).min() > 0.9


def test_background_beside_a_person_counts_little() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, 35:65] = (200, 40, 40)
    box = np.array([[0.3, 0.1, 0.7, 0.9]], np.float32)
    red = describe(image, box)
    image[:, :35] = image[:, 65:] = (40, 40, 200)
    assert (red * describe(image, box)).sum() > 0.7
    image[:, 35:65] = (40, 200, 40)
    assert (red * describe(image, box)).sum() < 0.5


def test_boxes_at_the_edge_are_described_by_what_is_inside() -> None:
    image = np.zeros((80, 60, 3), np.uint8)
    image[:, :30], image[:, 30:] = (220, 30, 30), (30, 30, 220)
    inside, beyond = describe(image, np.array([[0, 0.1, 0.4, 0.9], [-0.4, 0.1, 0.4, 0.9]], np.float32))
    assert inside @ beyond > 0.95


def test_boxes_without_pixels_are_zeros() -> None:
    image = np.full((20, 30, 3), 90, np.uint8)
    nothing = [[0.5, 0.5, 0.5, 0.9], [0.6, 0.1, 0.4, 0.9], [1.2, 0, 1.5, 1], [float("nan"), 0, 1, 1]]
    vectors = describe(image, np.array([*nothing, [0.5, 0.5, 0.501, 0.501]], np.float32))
    assert not vectors[:4].any()
    assert np.linalg.norm(vectors[4]) == pytest.approx(1)
    assert describe(image, np.zeros((0, 4), np.float32)).shape == (0, SIZE)
    assert not describe(np.zeros((0, 0, 3), np.uint8), np.array([[0, 0, 1, 1]], np.float32)).any()
