"""RandAugment: what its operations do, how strongly, and how often."""

from __future__ import annotations

import pytest
import torch

from memvit.training import rand_augment
from memvit.training.augment import seeded
from memvit.training.rand_augment import OPERATIONS, RandAugment

CLIP = torch.randint(0, 256, (1, 3, 32, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
STILL = CLIP.expand(3, -1, -1, -1).contiguous()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
@pytest.mark.parametrize("strength", [0.0, 0.37, 1.0])
def test_frames_are_treated_alike(operation: rand_augment.Operation, strength: float) -> None:
    with seeded(1):
        out = operation(STILL, strength)
    assert out.shape == STILL.shape and out.dtype == torch.uint8
    assert all(torch.equal(out[0], frame) for frame in out)


def test_the_magnitude_has_noise() -> None:
    with seeded(0):
        drawn = torch.tensor([RandAugment(4, 7, 0.5).strength() for _ in range(2000)])
        assert {RandAugment(4, 7, 0.0).strength() for _ in range(5)} == {0.7}
        at_the_end = {RandAugment(4, 10, 0.5).strength() for _ in range(50)}
    assert float(drawn.mean()) == pytest.approx(0.7, abs=0.005)
    assert float(drawn.std()) == pytest.approx(0.05, abs=0.005)
    assert max(at_the_end) == 1.0, "no more than the largest magnitude"


def test_an_operation_drawn_happens_half_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[float] = []
    monkeypatch.setattr(rand_augment, "OPERATIONS", [lambda clip, strength: done.append(strength) or clip])
    with seeded(0):
        for _ in range(500):
            RandAugment(4, 7, 0.5)(CLIP)
    assert len(done) == pytest.approx(1000, abs=100)


@pytest.mark.parametrize(
    ("operation", "strength", "pixel", "expected"),
    [
        (rand_augment._posterize, 0.7, 0b11011011, 0b11000000),  # 4 - int(2.8) bits are kept
        (rand_augment._posterize, 0.2, 0b11011011, 0b11010000),
        (rand_augment._solarize, 0.7, 77, 178),  # from 256 - 179 on, pixels are inverted
        (rand_augment._solarize, 0.7, 76, 76),
        (rand_augment._solarize, 0.0, 255, 255),
        (rand_augment._solarize_add, 0.7, 127, 204),  # 77 more, of dark pixels
        (rand_augment._solarize_add, 0.7, 128, 128),
        (rand_augment._invert, 0.7, 55, 200),
    ],
)
def test_what_operations_do_to_a_pixel(
    operation: rand_augment.Operation, strength: float, pixel: int, expected: int
) -> None:
    out = operation(torch.full((1, 3, 4, 4), pixel, dtype=torch.uint8), strength)
    assert out.unique().tolist() == [expected]


def test_a_translation_leaves_grey() -> None:
    with seeded(0):
        out = rand_augment._translate_x(torch.zeros(1, 3, 40, 40, dtype=torch.uint8), 0.5)  # 0.225 of 40 pixels
    assert (out == 128).all(1).all(1).sum() == 9
