"""Mixup and cutmix: partners, and targets that belong to the pixels."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from memvit.training.augment import BatchAugmentation, seeded
from memvit.training.mixing import mix
from memvit.training.recipe import Augmentation


@pytest.mark.parametrize("alphas", [(0.8, 0.0), (0.0, 1.0), (0.8, 1.0)])
def test_targets_follow_the_mixture(alphas: tuple[float, float]) -> None:
    labels = torch.arange(6)
    clips = torch.stack([torch.full((3, 2, 16, 16), float(label)) for label in labels])
    for seed in range(10):
        with seeded(seed):
            mixed, targets = mix(clips, F.one_hot(labels, 6).float(), *alphas)
        torch.testing.assert_close(targets.sum(1), torch.ones(6))
        # Each clip holds its own class and its partner's in the proportion of the targets.
        torch.testing.assert_close(mixed.mean((1, 2, 3, 4)), targets @ torch.arange(6.0), atol=1e-5, rtol=0)
        assert float(clips[0].max()) == 0, "the batch itself is not changed"


def test_copies_of_a_video_are_not_mixed_with_themselves() -> None:
    """Repeated augmentation puts copies side by side; a target of one class only means that a copy met a copy."""
    labels = torch.arange(16).repeat_interleave(2)
    batch = BatchAugmentation(Augmentation(mixup=0.8, cutmix=1.0, repeats=2), 16)
    of_one_class = []
    for seed in range(200):
        with seeded(seed):
            _, targets = batch(torch.zeros(32, 3, 1, 8, 8), labels)
        of_one_class.append((targets.max(1).values == 1).float().mean())
    assert float(torch.stack(of_one_class).mean()) < 0.1, "only where the drawn share happens to be 1"


def test_partners_are_those_of_the_reversed_batch() -> None:
    targets = torch.eye(4)
    with seeded(3):
        _, mixed = mix(torch.zeros(4, 3, 1, 8, 8), targets, 0.8, 0.0)
    assert torch.equal(mixed > 0, (targets + targets.flip(0)) > 0)


def test_without_alphas_and_for_one_sample_nothing_is_mixed() -> None:
    clips, targets = torch.randn(4, 3, 1, 8, 8), torch.eye(4)
    assert mix(clips, targets, 0.0, 0.0) == (clips, targets)
    assert mix(clips[:1], targets[:1], 0.8, 1.0)[0].equal(clips[:1])


def test_both_kinds_are_drawn_about_equally() -> None:
    """Mixup changes all pixels alike, cutmix some and not others."""
    clips = torch.stack([torch.zeros(3, 1, 32, 32), torch.ones(3, 1, 32, 32)])
    with_mixup = 0
    for seed in range(200):
        with seeded(seed):
            mixed, _ = mix(clips, torch.eye(2), 0.8, 1.0)
        values = mixed[0].unique()
        with_mixup += len(values) == 1 and 0 < float(values[0]) < 1
    assert 70 < with_mixup < 130
