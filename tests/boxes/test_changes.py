"""Frames in which nothing has moved need no detection of their own."""

from __future__ import annotations

import numpy as np
import pytest

from memvit.boxes.changes import sources_of_boxes
from memvit.types import Image

HEIGHT, WIDTH = 60, 84
"""No multiples of a square's side."""


def picture(x: int | None = None, noise: int = 0, y: int = 20) -> Image:
    """A grey picture with noise of its own, and somebody at x."""
    values = np.full((HEIGHT, WIDTH, 3), 90, dtype=np.int64)
    if x is not None:
        values[y : y + 12, x : x + 6] = 120
    return (values + np.random.default_rng(noise).normal(0, 4, values.shape)).clip(0, 255).astype(np.uint8)


def test_a_still_picture_is_looked_at_once() -> None:
    images = [picture(30, noise) for noise in range(8)]
    assert sources_of_boxes(images, keyframe=3) == [3] * 8


def test_every_picture_in_which_somebody_moves_is_looked_at() -> None:
    assert sources_of_boxes([picture(10 + 3 * step, step) for step in range(8)], 4) == list(range(8))


def test_a_picture_is_compared_with_the_last_new_one_on_the_way_to_the_keyframe() -> None:
    places = [10, 10, 30, 30, 30, 50, 50, 30]
    assert sources_of_boxes([picture(x, number) for number, x in enumerate(places)], 3) == [1, 1, 3, 3, 3, 5, 5, 7]


def test_slow_motion_adds_up() -> None:
    """A change of less than the threshold from frame to frame: what counts is the change since somebody looked."""
    fading = [np.full((HEIGHT, WIDTH, 3), 90 + step, np.uint8) for step in range(8)]
    assert sources_of_boxes(fading, 0) == [0, 0, 0, 3, 3, 3, 6, 6]


@pytest.mark.parametrize(("x", "y"), [(WIDTH - 3, 20), (30, HEIGHT - 3), (0, 0)])
def test_somebody_at_an_edge_is_not_overlooked(x: int, y: int) -> None:
    assert sources_of_boxes([picture(), picture(x, y=y)], 0) == [0, 1]


def test_tiny_pictures_and_those_of_other_sizes_are_compared_too() -> None:
    small = [np.full((4, 5, 3), level, np.uint8) for level in (10, 11, 60)]
    assert sources_of_boxes([*small, picture()], 0) == [0, 0, 2, 3]
