"""People found by an MViTv2 detector, as `--boxes` names it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from memvit.boxes import PersonDetector, detection_size_of, open_boxes
from memvit.boxes.mvit import MViTDetector
from memvit.detection import create_detector
from memvit.detection.checkpoints import save_detectron2
from memvit.types import DetectionSize, Image, MemvitError
from tests.golden import fill_detection

NAME = "mask_rcnn_mvitv2_tiny"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that find people, in detectron2's layout."""
    path = tmp_path_factory.mktemp("weights") / "tiny.pkl"
    detector = create_detector(NAME)
    state = detector.network.state_dict()
    detector.network.load_state_dict({name: fill_detection.weight(name, value.shape) for name, value in state.items()})
    save_detectron2(detector.network, path)
    return path


@pytest.fixture(scope="module")
def people(weights: Path) -> MViTDetector:
    found = open_boxes(NAME, weights=weights, score_threshold=0.02)
    assert isinstance(found, MViTDetector)
    return found


def picture(name: str, height: int, width: int) -> Image:
    return np.ascontiguousarray(fill_detection.image(name, height, width).transpose(1, 2, 0))


def test_people_are_those_that_the_detector_finds(people: MViTDetector, weights: Path) -> None:
    image = picture("people", 128, 160)
    (found,) = people.detect([image])
    detector = create_detector(NAME, checkpoint=weights)
    detector.rule = type(detector.rule)(min_score=0.01, detections=-1)
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    (expected,) = detector([pixels], short_side=128, long_side=256, masks=False)
    chosen = expected.select(expected.labels == 0)
    assert len(found) == min(len(chosen), 100) > 0
    assert np.allclose(found.xyxy * [160, 128, 160, 128], chosen.boxes[:100], atol=0.01)
    assert np.allclose(found.scores, chosen.scores[:100], atol=1e-4) and found.scores.min() >= 0.01


def test_images_of_several_streams_are_found_as_alone(people: MViTDetector) -> None:
    images = [picture("a", 128, 160), picture("b", 90, 70), picture("c", 128, 160)]
    for together, image in zip(people.detect(images), images, strict=True):
        (alone,) = people.detect([image])
        assert np.allclose(together.xyxy, alone.xyxy, atol=1e-4) and np.allclose(
            together.scores, alone.scores, atol=1e-4
        )


def test_an_image_in_the_size_for_the_detector_is_not_resized_again(
    people: MViTDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = detection_size_of(people)
    assert isinstance(people, PersonDetector) and size == DetectionSize(128, 256)
    monkeypatch.setattr("memvit.boxes.mvit.resized", lambda *_: pytest.fail("resized twice"))
    for source in ((1920, 1080), (640, 360), (1080, 1920), (1366, 768), (333, 251)):
        width, height = size.of(*source)
        people.detect([picture("once", height, width)])


def test_a_smaller_image_is_enlarged(people: MViTDetector) -> None:
    sizes = []
    handle = people.detector.runner().twin.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].sizes))
    people.detect([picture("small", 64, 100)])
    handle.remove()
    assert sizes == [((128, 200),)]


def test_weights_of_another_detector_get_a_sentence(weights: Path) -> None:
    with pytest.raises(MemvitError, match=r"tiny\.pkl"):
        open_boxes("mask_rcnn_mvitv2_t.coco", weights=weights)
    with pytest.raises(MemvitError, match=r"did you mean cascade_mask_rcnn_mvitv2_t\.coco\?"):
        open_boxes("cascade_mask_rcnn_mvitv2_t")
