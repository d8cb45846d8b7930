"""Augmentation: the same for all frames, a function of its seed, with the targets that belong to the pixels."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms import v2

from memvit.training.augment import BatchAugmentation, ClipAugmentation, jittered_side, seeded
from memvit.training.rand_augment import RandAugment
from memvit.training.recipe import Augmentation
from memvit.types import MemvitError

EVERYTHING = Augmentation(rand_augment_ops=4, rand_augment_magnitude=7, flip=0.5)


def test_a_still_clip_stays_still() -> None:
    image = torch.randint(0, 255, (3, 40, 50), dtype=torch.uint8)
    clip = image.expand(4, -1, -1, -1).contiguous()
    for seed in range(10):
        out = ClipAugmentation(EVERYTHING, 32, of_images=False)(clip, seed)
        assert out.shape == (4, 3, 32, 32) and out.dtype == torch.uint8
        assert all(torch.equal(out[0], frame) for frame in out)


def test_the_seed_decides_and_the_global_state_does_not() -> None:
    clip = torch.randint(0, 255, (2, 3, 40, 50), dtype=torch.uint8)
    augment = ClipAugmentation(EVERYTHING, 32, of_images=False)
    first = augment(clip, 3)
    torch.rand(7)
    before = torch.random.get_rng_state()
    assert torch.equal(augment(clip, 3), first)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(augment(clip, 4), first)


@pytest.mark.parametrize(("of_images", "order"), [(True, ["crop", "distort"]), (False, ["distort", "crop"])])
def test_videos_are_cropped_after_they_are_distorted_and_images_before(
    of_images: bool, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    augment = ClipAugmentation(EVERYTHING, 32, of_images=of_images)

    def distort(self: RandAugment, clip: torch.Tensor) -> torch.Tensor:
        assert clip.shape[-2:] == ((32, 32) if of_images else (40, 50))
        seen.append("distort")
        return clip

    monkeypatch.setattr(RandAugment, "__call__", distort)
    crop = next(step for step in augment.steps if isinstance(step, v2.RandomResizedCrop))
    crop.register_forward_hook(lambda *_: seen.append("crop"))
    augment(torch.zeros(2, 3, 40, 50, dtype=torch.uint8), 0)
    assert seen == order
    assert crop.interpolation == (v2.InterpolationMode.BICUBIC if of_images else v2.InterpolationMode.BILINEAR)


def test_a_short_side_range_replaces_the_crop_by_area() -> None:
    """A picture of a slope: after a resize to k pixels and a crop of 32, 32 / k of the slope is left."""
    slope = torch.linspace(0, 255, 60).to(torch.uint8).expand(1, 3, 60, 60).contiguous()
    augment = ClipAugmentation(Augmentation(short_side=(40, 80), flip=0), 32, of_images=False)
    shares = []
    for seed in range(200):
        out = augment(slope, seed)
        assert out.shape == (1, 3, 32, 32)
        shares.append((int(out.max()) - int(out.min())) / 255)
    assert 31 / 80 - 0.02 < min(shares) < 0.45 and 0.7 < max(shares) < 32 / 40 + 0.02


def test_a_drawn_side_has_a_uniform_inverse() -> None:
    assert (jittered_side(256, 320, 0.0), jittered_side(256, 320, 1.0)) == (320, 256)
    assert jittered_side(256, 320, 0.5) == round(2 / (1 / 256 + 1 / 320)) == 284


def test_a_short_side_below_the_crop_is_refused() -> None:
    with pytest.raises(MemvitError, match=r"augment\.short_side=\[20, 40\] is smaller than the crop of 32 pixels"):
        ClipAugmentation(Augmentation(short_side=(20, 40)), 32, of_images=False)


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
