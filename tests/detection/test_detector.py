"""Detectors as they are called: pictures of any sizes, weights that change, devices and types."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from memvit.detection import Detections, Detector, create_detector

from .conftest import images


@pytest.fixture(scope="module")
def pictures() -> list[Tensor]:
    return images(("wide", 60, 130), ("tall", 128, 70))


def same(one: Detections, other: Detections) -> bool:
    return torch.equal(one.labels, other.labels) and torch.allclose(one.boxes, other.boxes, atol=0.01)


def test_boxes_and_masks_are_in_pixels_of_each_picture(tiny_detector: Detector, pictures: list[Tensor]) -> None:
    for picture, found in zip(pictures, tiny_detector(pictures, short_side=128, long_side=256), strict=True):
        height, width = picture.shape[1:]
        assert len(found) > 0
        assert found.boxes.dtype == torch.float32 and found.labels.dtype == torch.int64
        assert found.boxes.min() >= 0 and (found.boxes <= torch.tensor([width, height, width, height])).all()
        assert (found.scores.diff() <= 0).all() and found.labels.min() >= 0 and found.labels.max() < 80
        assert found.mask(0).shape == (height, width) and found.mask(0).dtype == torch.bool


def test_pictures_of_one_size_are_found_alike_alone_and_together(tiny_detector: Detector) -> None:
    one, other = images(("one", 96, 128), ("other", 96, 128))
    together = tiny_detector([one, other], short_side=None)
    assert same(together[0], tiny_detector([one], short_side=None)[0])
    assert same(together[1], tiny_detector([other], short_side=None)[0])


def test_boxes_do_not_depend_on_masks(tiny_detector: Detector, pictures: list[Tensor]) -> None:
    (with_masks,) = tiny_detector(pictures[:1], short_side=None)
    (without,) = tiny_detector(pictures[:1], short_side=None, masks=False)
    assert torch.equal(with_masks.boxes, without.boxes)
    assert len(without.masks) == 0 and len(without.select(torch.tensor([0])).masks) == 0


def test_some_of_the_objects_are_selected(tiny_detector: Detector, pictures: list[Tensor]) -> None:
    (found,) = tiny_detector(pictures[:1], short_side=None)
    chosen = found.select(found.labels == found.labels[1])
    assert len(chosen) == int((found.labels == found.labels[1]).sum())
    place = int((found.labels == found.labels[1]).nonzero()[0])
    assert torch.equal(chosen.mask(0), found.mask(place))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 700), (700, 3)])
def test_pictures_of_any_shape(tiny_detector: Detector, height: int, width: int) -> None:
    (found,) = tiny_detector([torch.full((3, height, width), 90, dtype=torch.uint8)], short_side=128, long_side=256)
    assert found.boxes.isfinite().all()
    assert all(mask.shape == (height, width) for mask in map(found.mask, range(min(len(found), 3))))


def test_no_pictures_give_no_detections(tiny_detector: Detector) -> None:
    assert tiny_detector([]) == []


def test_a_picture_without_anything_has_no_detections(tiny_detector: Detector, pictures: list[Tensor]) -> None:
    strict = Detector(tiny_detector.network, tiny_detector.entry)
    strict.rule = type(strict.rule)(min_score=1.0)
    (found,) = strict(pictures[:1], short_side=None)
    assert len(found) == len(found.masks) == 0 and found.boxes.shape == (0, 4)


def test_changed_weights_are_used(pictures: list[Tensor]) -> None:
    detector = create_detector("mask_rcnn_mvitv2_tiny")
    detector(pictures, short_side=None)
    before = detector.runner()
    assert detector.runner() is before
    with torch.no_grad():
        detector.network.rpn.objectness.weight.add_(1)
    assert detector.runner() is not before


def test_the_copy_finds_what_the_network_finds(tiny_detector: Detector) -> None:
    """The copy computes in another order; without the backbone's large weights, rounding does not grow."""
    from memvit.detection.images import batch_of

    picture = images(("same", 64, 96))
    with torch.inference_mode():
        (plain,) = tiny_detector.network(batch_of(picture, torch.device("cpu")))
    (prepared,) = tiny_detector.runner()(picture, tiny_detector.rule)
    assert torch.equal(plain.labels, prepared.labels)
    assert torch.allclose(plain.boxes, prepared.boxes, atol=0.01)


def test_bfloat16_finds_nearly_the_same(tiny_detector: Detector, pictures: list[Tensor]) -> None:
    import copy

    half = copy.deepcopy(tiny_detector).to(torch.bfloat16)
    exact, rough = (each.network.maps for each in (tiny_detector, half))
    pixels = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        expected, found = exact(pixels)[0], rough(pixels.bfloat16())[0].float()
    assert (found - expected).abs().mean() < 0.05 * expected.abs().mean()
    assert half(pictures, short_side=None)[0].boxes.dtype == torch.float32


@pytest.mark.parametrize(
    "wrong", [torch.zeros(3, 8, 8), torch.zeros(8, 8, 3, dtype=torch.uint8), torch.zeros(3, 0, 8, dtype=torch.uint8)]
)
def test_what_is_no_picture_is_refused(tiny_detector: Detector, wrong: Tensor) -> None:
    with pytest.raises(ValueError, match=r"\(3, H, W\) uint8 RGB"):
        tiny_detector([wrong])


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"cascade_mask_rcnn_mvitv2_t\.coco"):
        create_detector("cascade_mask_rcnn_mvitv2_t")
