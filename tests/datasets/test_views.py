"""Sampling against the reference's rules, in exact fractions and in numbers worked out by hand."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from itertools import product

import pytest

from memvit.datasets.views import dense_indices, uniform_indices, view_indices

CLIPS = [(16, 4), (32, 3), (40, 3)]


def exact(start: Fraction, clip: Fraction, frames: int, total: int) -> list[Fraction]:
    """Where the frames of a clip lie, without rounding."""
    places = [start + (clip - 1) * i / (frames - 1) for i in range(frames)]
    return [min(max(place, Fraction(0)), Fraction(total - 1)) for place in places]


def same_but_for_the_last_bit(found: list[int], places: list[Fraction]) -> bool:
    """Cut off, where float32 does not decide between two frames."""
    sure = [(f, p) for f, p in zip(found, places, strict=True) if abs(p - round(p)) > Fraction(1, 2000)]
    near = all(abs(f - p) < 1 + Fraction(1, 2000) for f, p in zip(found, places, strict=True))
    return near and all(f == math.floor(p) for f, p in sure)


@pytest.mark.parametrize("rate", [Fraction(30), Fraction(25), Fraction(60), Fraction(30000, 1001), Fraction(12)])
@pytest.mark.parametrize(("frames", "interval"), CLIPS)
def test_views_of_a_test_are_the_reference_s(rate: Fraction, frames: int, interval: int) -> None:
    for total, views in product([1, 2, 40, 63, 64, 65, 150, 250, 299, 300, 301, 900], [1, 2, 3, 5, 10]):
        clip = frames * interval * rate / 30
        spare = max(total - clip, Fraction(0))
        for view in range(views):
            start = math.floor(spare / 2) if views == 1 else view * math.floor(spare / (views - 1))
            places = exact(Fraction(start), clip, frames, total)
            found = view_indices(total, float(rate), frames, interval, view, views)
            assert same_but_for_the_last_bit(found, places), (total, view, views)


def test_the_published_test_of_ten_seconds() -> None:
    """16x4, 5 views, 300 frames: 236 to spare, so the views begin 59 frames apart."""
    assert [view_indices(300, 30, 16, 4, view, 5)[0] for view in range(5)] == [0, 59, 118, 177, 236]
    assert view_indices(300, 30, 16, 4, 4, 5)[-1] == 299
    assert view_indices(299, 30, 16, 4, 0, 1)[0] == 117  # 235 to spare: half of it, cut off


def test_the_last_frame_of_a_clip_is_reached() -> None:
    """96 frames: 39 steps of 95 / 39 added up in float64 stay below 95; float32 arrives at it, as the reference."""
    assert view_indices(300, 24, 40, 3, 0, 5)[-1] == 95
    assert dense_indices(300, 24, 40, 3, 0.0)[-1] == 95


@pytest.mark.parametrize(("view", "views"), [(5, 5), (-1, 5), (0, 0)])
def test_views_that_do_not_exist(view: int, views: int) -> None:
    with pytest.raises(ValueError, match="count from 0"):
        view_indices(300, 30, 16, 4, view, views)


def test_a_training_clip_covers_what_the_model_was_trained_on() -> None:
    indices = dense_indices(300, 30, 16, 4, 0.0)
    assert (indices[0], indices[-1]) == (0, 63)
    assert dense_indices(300, 30, 16, 4, 1.0)[-1] == 299
    assert dense_indices(300, 30, 16, 4, 0.5)[0] == 118


def test_uniform_takes_the_middle_of_equal_segments() -> None:
    assert uniform_indices(33, 16) == [1 + 2 * i for i in range(16)]
    assert uniform_indices(3, 8)[0] == 0 and uniform_indices(3, 8)[-1] == 2


def test_uniform_at_random_stays_in_its_segments() -> None:
    drawn = [uniform_indices(161, 16, random.Random(seed)) for seed in range(50)]
    for i in range(16):
        values = {indices[i] for indices in drawn}
        assert 10 * i <= min(values) and max(values) <= 10 * (i + 1)
        assert len(values) > 5
    assert uniform_indices(161, 16, random.Random(3)) == uniform_indices(161, 16, random.Random(3))
