"""Pictures and their objects change together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from memvit.datasets.coco import Objects
from memvit.detection.learning.targets import Targets, drawn_polygons
from memvit.training.detection_augment import GREY, Canvas, PictureAugmentation
from memvit.training.detection_recipe import DetectionAugmentation

MULTI = DetectionAugmentation(short_sides=(40, 56), long_side=100, crop_short_sides=(50, 70), crop_sides=(40, 60))
JITTER = DetectionAugmentation(kind="large_scale_jitter", side=64)
X, Y, WIDTH, HEIGHT = 24, 16, 20, 12


def example(*, as_pixels: bool) -> tuple[Tensor, Objects]:
    """A bright rectangle on black ground, 72 × 48, with its mask."""
    picture = torch.zeros(3, 48, 72, dtype=torch.uint8)
    picture[:, Y : Y + HEIGHT, X : X + WIDTH] = 255
    corners = np.array([X, Y, X + WIDTH, Y, X + WIDTH, Y + HEIGHT, X, Y + HEIGHT], dtype=np.float64)
    box = torch.tensor([[X, Y, X + WIDTH, Y + HEIGHT]], dtype=torch.float32)
    return picture, Objects(box, torch.tensor([3]), (picture[0] > 0,) if as_pixels else ((corners,),))


def pixels_of(targets: Targets, size: tuple[int, int]) -> Tensor:
    assert targets.masks is not None
    (mask,) = targets.masks
    return mask if isinstance(mask, Tensor) else drawn_polygons(mask, size)


@pytest.mark.parametrize("as_pixels", [True, False])
@pytest.mark.parametrize("config", [MULTI, JITTER], ids=["multi_scale", "jitter"])
def test_boxes_and_masks_follow_the_picture(config: DetectionAugmentation, as_pixels: bool) -> None:
    augment, kept = PictureAugmentation(config), 0
    for seed in range(40):
        picture, targets = augment(*example(as_pixels=as_pixels), seed)
        bright = (picture > 128).all(dim=0)
        if not len(targets):
            assert bright.sum() <= 4
            continue
        kept += 1
        mask = pixels_of(targets, (picture.shape[1], picture.shape[2]))
        assert mask.shape == bright.shape
        differs = (mask ^ bright).sum() / max(int(bright.sum()), 1)
        assert differs < 0.15 or bright.sum() < 200, (seed, differs)
        rows, columns = bright.any(dim=1).nonzero()[:, 0], bright.any(dim=0).nonzero()[:, 0]
        if len(rows):
            seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            assert targets.boxes[0].tolist() == pytest.approx([float(edge) for edge in seen], abs=1.1), seed
    assert kept > 25


def test_pictures_of_multi_scale_have_the_sizes_of_the_recipe() -> None:
    sizes = set()
    for seed in range(30):
        picture, _ = PictureAugmentation(replace(MULTI, crop=0.0))(*example(as_pixels=False), seed)
        sizes.add(tuple(picture.shape[1:]))
    assert sizes == {(40, 60), (56, 84)}


def test_a_square_is_cut_out_or_filled_up_with_grey() -> None:
    low, high = (replace(JITTER, jitter=(scale, scale), flip=0.0) for scale in (0.5, 2.0))
    small, targets = PictureAugmentation(low)(*example(as_pixels=False), 0)
    assert small.shape == (3, 64, 64) and (small[:, 22:] == GREY).all() and (small[:, :, 33:] == GREY).all()
    scale = 32 / 72
    expected = [X * scale, Y * scale, (X + WIDTH) * scale, (Y + HEIGHT) * scale]
    assert targets.boxes[0].tolist() == pytest.approx(expected, abs=1.0), "boxes of masks are whole pixels"
    assert targets.boxes[0].tolist() == targets.boxes[0].round().tolist()
    large, _ = PictureAugmentation(high)(*example(as_pixels=False), 0)
    assert large.shape == (3, 64, 64) and not (large == GREY).all(dim=0).any()


def test_a_mirror_image_has_mirrored_boxes_and_masks() -> None:
    picture, _ = example(as_pixels=False)
    canvas = Canvas(picture, [])
    canvas.resize((96, 144))
    canvas.crop(10, 4, (80, 120))
    canvas.flip()
    x, y = canvas.points(np.array([X, Y], dtype=np.float64))
    assert (x, y) == (120 - (2 * X - 10), 2 * Y - 4)


def test_objects_that_are_cut_off_are_left_out() -> None:
    picture, objects = example(as_pixels=False)
    moved = Objects(objects.boxes, objects.labels, ((np.array([0.0, 0, 1, 0, 1, 1]),),))
    cropped = replace(MULTI, crop=1.0, crop_short_sides=(48,), crop_sides=(10, 12), flip=0.0)
    lost = sum(len(PictureAugmentation(cropped)(picture, moved, seed)[1]) == 0 for seed in range(20))
    assert lost > 10


def test_a_change_follows_from_its_seed() -> None:
    one, same, other = (PictureAugmentation(MULTI)(*example(as_pixels=False), seed) for seed in (3, 3, 4))
    assert torch.equal(one[0], same[0]) and torch.equal(one[1].boxes, same[1].boxes)
    assert one[0].shape != other[0].shape or not torch.equal(one[0], other[0])


def test_data_without_masks_keep_their_boxes() -> None:
    picture, objects = example(as_pixels=False)
    plain = Objects(objects.boxes, objects.labels, None)
    for config in (MULTI, JITTER):
        _, targets = PictureAugmentation(replace(config, crop=0.0, jitter=(1.0, 1.0)))(picture, plain, 1)
        assert targets.masks is None and len(targets) == 1
