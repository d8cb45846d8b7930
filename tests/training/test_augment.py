"""Augmentation: the same for all frames, a function of its seed, with the targets that belong to the pixels."""

from __future__ import annotations

import pytest
import torch

from memvit.training.augment import BatchAugmentation, ClipAugmentation, seeded
from memvit.training.recipe import Augmentation

EVERYTHING = Augmentation(rand_augment_ops=4, rand_augment_magnitude=7, flip=0.5)


def test_a_still_clip_stays_still() -> None:
    image = torch.randint(0, 255, (3, 40, 50), dtype=torch.uint8)
    clip = image.expand(4, -1, -1, -1).contiguous()
    for seed in range(10):
        out = ClipAugmentation(EVERYTHING, 32)(clip, seed)
        assert out.shape == (4, 3, 32, 32) and out.dtype == torch.uint8
        assert all(torch.equal(out[0], frame) for frame in out)


def test_the_seed_decides_and_the_global_state_does_not() -> None:
    clip = torch.randint(0, 255, (2, 3, 40, 50), dtype=torch.uint8)
    augment = ClipAugmentation(EVERYTHING, 32)
    first = augment(clip, 3)
    torch.rand(7)
    before = torch.random.get_rng_state()
    assert torch.equal(augment(clip, 3), first)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(augment(clip, 4), first)


def test_targets_follow_the_mixture() -> None:
    labels = torch.tensor([0, 1, 2, 3])
    clips = torch.stack([torch.full((3, 2, 16, 16), float(label)) for label in labels])
    mix = BatchAugmentation(Augmentation(cutmix=1.0), 5)
    with seeded(0):
        mixed, targets = mix(clips, labels)
    torch.testing.assert_close(targets.sum(1), torch.ones(4))
    # Each clip holds its own class and its partner's in the proportion of the targets.
    expected = targets @ torch.arange(5.0)
    torch.testing.assert_close(mixed.mean((1, 2, 3, 4)), expected, atol=1e-5, rtol=0)


def test_mixup_with_smoothing() -> None:
    labels = torch.tensor([0, 1])
    clips = torch.randn(2, 3, 2, 8, 8)
    with seeded(1):
        mixed, targets = BatchAugmentation(Augmentation(mixup=0.8, label_smoothing=0.1), 10)(clips, labels)
    assert mixed.shape == clips.shape and not torch.equal(mixed, clips)
    torch.testing.assert_close(targets.sum(1), torch.ones(2))
    assert targets[:, 2:].unique().tolist() == pytest.approx([0.01])


def test_erasing_is_a_rectangle_through_time() -> None:
    clips = torch.zeros(3, 3, 4, 32, 32)
    with seeded(2):
        erased, _ = BatchAugmentation(Augmentation(erasing=1.0), 2)(clips, torch.tensor([0, 1, 0]))
    touched = erased.abs().sum(1) > 0
    assert touched.any((1, 2, 3)).all()
    assert torch.equal(touched.any(1), touched.all(1))
    assert not torch.equal(touched[0], touched[1])
