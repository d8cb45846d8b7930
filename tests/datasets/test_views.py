"""Sampling against the reference's arithmetic, written here with torch as it is there."""

from __future__ import annotations

import random

import pytest
import torch

from memvit.datasets.views import dense_indices, dense_positions, uniform_indices


@pytest.mark.parametrize("total", [300, 250, 40, 1])
@pytest.mark.parametrize("rate", [30.0, 25.0, 59.94])
@pytest.mark.parametrize(("frames", "interval"), [(16, 4), (32, 3), (40, 3)])
def test_dense_is_the_reference_s(total: int, rate: float, frames: int, interval: int) -> None:
    for view, position in enumerate(dense_positions(5)):
        clip = interval * frames / 30 * rate
        start = max(total - clip, 0) * view / 5
        exact = torch.linspace(start, start + clip - 1, frames, dtype=torch.float64).clamp(0, total - 1)
        found = torch.tensor(dense_indices(total, rate, frames, interval, position))
        undecided = (exact - exact.round()).abs() < 1e-9  # the last bit of a rounding decides between two frames
        assert torch.equal(found[~undecided], exact.long()[~undecided])
        assert ((found - exact).abs() < 1 + 1e-9).all()


def test_the_clip_covers_what_the_model_was_trained_on() -> None:
    indices = dense_indices(300, 30, 16, 4, 0.0)
    assert (indices[0], indices[-1]) == (0, 63)
    assert dense_indices(300, 30, 16, 4, 1.0)[-1] == 299


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
