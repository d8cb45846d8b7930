"""Where people are: the whole frame, AVA's files, torchvision's detectors."""

from __future__ import annotations

import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import get_model

from memvit.boxes import PersonDetector, detection_size_of, open_boxes
from memvit.types import Clip, DetectionSize, MemvitError

DETECTOR = "fasterrcnn_mobilenet_v3_large_320_fpn"


def clip(stream: str = "v", centre_seconds: float = 902.0, image: np.ndarray | None = None) -> Clip:
    frames = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    return Clip(stream, 0, centre_seconds, centre_seconds - 1, centre_seconds + 1, frames, centre_image=image)


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8)


def csv_file(folder: Path, text: str) -> str:
    path = folder / "boxes.csv"
    path.write_text(text)
    return str(path)


def test_full_frame() -> None:
    (found,) = open_boxes("full").boxes([clip()])
    assert found.xyxy.tolist() == [[0, 0, 1, 1]]
    assert found.scores.tolist() == [1]
    assert found.persons is not None and found.persons.tolist() == [1]
    assert detection_size_of(open_boxes("full")) is None


def test_ground_truth_merges_the_labels_of_a_box(tmp_path: Path) -> None:
    """The real form: one row a label; persons are numbers, not scores."""
    boxes = open_boxes(
        csv_file(
            tmp_path,
            "0f39OWEqJ24,0902,0.031,0.162,0.670,0.995,12,0\n"
            "0f39OWEqJ24,0902,0.031,0.162,0.670,0.995,17,0\n"
            "0f39OWEqJ24,0902,0.063,0.049,0.524,0.996,74,1\n"
            "_-Z6wFjXtGQ,0903,0.1,0.2,0.3,0.4,74,2\n",
        )
    )
    first, second, third = boxes.boxes([clip("0f39OWEqJ24"), clip("0f39OWEqJ24", 903), clip("_-Z6wFjXtGQ", 902.6)])
    np.testing.assert_allclose(first.xyxy, [[0.031, 0.162, 0.67, 0.995], [0.063, 0.049, 0.524, 0.996]], rtol=1e-6)
    assert first.scores.tolist() == [1, 1]
    assert first.persons is not None and first.persons.tolist() == [0, 1], "as they are written"
    assert len(second) == 0 and second.xyxy.shape == (0, 4)
    assert len(third) == 1
    with pytest.raises(MemvitError, match="no boxes of a video 'other' in it; it has 0f39OWEqJ24, _-Z6wFjXtGQ"):
        boxes.boxes([clip("other")])


def test_boxes_of_another_video_are_never_used(tmp_path: Path) -> None:
    """Also where the file has those of one video only."""
    boxes = open_boxes(csv_file(tmp_path, "shapes,0902,0.1,0.1,0.5,0.9,1,0\n"))
    assert len(boxes.boxes([clip("shapes")])[0]) == 1
    with pytest.raises(MemvitError, match=r"boxes\.csv: there are no boxes of a video 'gym' in it; it has shapes;"):
        boxes.boxes([clip("gym")])


def test_detections_keep_what_scores_enough(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path, "1j20qq1JyX4,0902,0.036,0.098,0.550,0.979,,0.995518\n1j20qq1JyX4,0902,0.1,0.1,0.2,0.2,,0.85\n"
    )
    (found,) = open_boxes(path).boxes([clip("1j20qq1JyX4")])
    assert found.scores.tolist() == pytest.approx([0.995518])
    assert found.persons is None
    assert len(open_boxes(path, score_threshold=0.8).boxes([clip("1j20qq1JyX4")])[0]) == 2


def test_detections_may_have_the_numbers_of_persons(tmp_path: Path) -> None:
    """As `memvit watch` writes them on request; a box without one is no person."""
    rows = "v,0902,0.1,0.1,0.2,0.2,1,0.95,7\nv,0902,0.1,0.1,0.2,0.2,2,0.99,7\nv,0902,0.5,0.1,0.6,0.2,1,0.95,\n"
    (found,) = open_boxes(csv_file(tmp_path, rows)).boxes([clip()])
    assert found.persons is not None and found.persons.tolist() == [7, -1]
    assert found.scores.tolist() == pytest.approx([0.99, 0.95])


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("v,0902,0.1,0.2,0.3", r"boxes.csv:2: 5 columns, expected video,second"),
        ("v,soon,0.1,0.2,0.3,0.4", r"boxes.csv:2: could not convert string to float: 'soon'"),
        ("v,0902,10,20,300,400", r"boxes.csv:2: box 10,20,300,400 is not x1,y1,x2,y2 within 0..1"),
        ("v,0902,0.5,0.2,0.3,0.4", r"boxes.csv:2: box 0.5,0.2,0.3,0.4 is not"),
        ("v,0902,0.1,0.2,0.3,0.4,1,high", r"boxes.csv:2: could not convert string to float: 'high'"),
        ("v,0902,0.1,0.2,0.3,0.4,1,0.9,1.5", r"boxes.csv:2: the person's number 1.5 is not a whole number"),
        ("v,0902,0.1,0.2,0.3,0.4,1,0.9,1e30", r"boxes.csv:2: the person's number 1e30 is not a whole number"),
    ],
)
def test_a_malformed_line_is_named(line: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(MemvitError, match=sentence):
        open_boxes(csv_file(tmp_path, f"v,0901,0.1,0.2,0.3,0.4\n{line}\n"))


def test_files_that_are_no_boxes(tmp_path: Path) -> None:
    with pytest.raises(MemvitError, match="cannot be read"):
        open_boxes(str(tmp_path / "missing.csv"))
    with pytest.raises(MemvitError, match="there are no boxes in it"):
        open_boxes(csv_file(tmp_path, ""))
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(MemvitError, match="not a CSV file of boxes"):
        open_boxes(str(tmp_path / "binary.csv"))


def test_what_is_no_kind_of_boxes_is_named() -> None:
    with pytest.raises(MemvitError, match=f"did you mean {DETECTOR}"):
        open_boxes("fasterrcnn_mobilenet_v3_large_320")
    with pytest.raises(MemvitError, match=r"use full, the path of a \.csv file, or a detector"):
        open_boxes("people")
    with pytest.raises(MemvitError, match="needs no weights"):
        open_boxes("full", weights="x.pth")


@pytest.fixture(scope="module")
def detector_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("detector") / "detector.pth"
    state = get_model(DETECTOR, weights=None, weights_backbone=None).state_dict()
    state["roi_heads.box_predictor.cls_score.bias"][1] = 4  # sees people everywhere
    torch.save(state, path)
    return path


def test_a_detector_with_local_weights(detector_file: Path) -> None:
    detector = open_boxes(DETECTOR, weights=detector_file, score_threshold=0.0)
    assert isinstance(detector, PersonDetector)
    assert detection_size_of(detector) == DetectionSize(320, 640)
    images = [noise(size) for size in ((120, 200, 3), (90, 60, 3))]
    found = detector.boxes([clip(image=image) for image in images])
    assert [len(people) <= 100 for people in found] == [True, True]
    for people in found:
        assert people.xyxy.dtype == np.float32
        assert people.xyxy.shape == (len(people), 4)
        assert ((people.xyxy >= 0) & (people.xyxy <= 1)).all()
        assert (np.diff(people.scores) <= 0).all()
    assert sum(map(len, found)) > 0
    assert all(
        len(people) == 0 for people in open_boxes(DETECTOR, weights=detector_file).boxes([clip(image=images[0])])
    )
    with pytest.raises(ValueError, match="centre image"):
        detector.boxes([clip()])


def test_images_are_detected_alike_alone_and_together(detector_file: Path) -> None:
    detector = open_boxes(DETECTOR, weights=detector_file, score_threshold=0.0)
    assert isinstance(detector, PersonDetector)
    shapes = [(64, 96, 3), (96, 64, 3), (64, 96, 3), (64, 96, 3), (96, 64, 3), (64, 96, 3), (64, 96, 3)]
    images = [noise(shape, seed) for seed, shape in enumerate(shapes)]
    together = detector.detect(images)
    for image, found in zip(images, together, strict=True):
        (alone,) = detector.detect([image])
        assert len(alone) > 0
        np.testing.assert_allclose(found.xyxy, alone.xyxy, atol=1e-4)
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-4)


def test_boxes_below_the_threshold_only_help_to_follow(detector_file: Path) -> None:
    image = noise((64, 96, 3))
    (score,) = set(
        open_boxes(DETECTOR, weights=detector_file, score_threshold=0.0).boxes([clip(image=image)])[0].scores
    )
    detector = open_boxes(DETECTOR, weights=detector_file, score_threshold=1.5 * score)
    assert isinstance(detector, PersonDetector)
    assert len(detector.boxes([clip(image=image)])[0]) == 0
    assert len(detector.detect([image])[0]) > 0
    detector = open_boxes(DETECTOR, weights=detector_file, score_threshold=2.5 * score)
    assert isinstance(detector, PersonDetector)
    assert len(detector.detect([image])[0]) == 0


@pytest.mark.parametrize(
    ("frame", "image"),
    [((3840, 2160), (569, 320)), ((1080, 1920), (320, 569)), ((3840, 1080), (640, 180)), ((200, 100), (200, 100))],
)
def test_images_for_a_detector_are_made_smaller_only(frame: tuple[int, int], image: tuple[int, int]) -> None:
    assert DetectionSize(320, 640).of(*frame) == image


def test_detector_weights_that_do_not_fit(detector_file: Path, tmp_path: Path) -> None:
    with pytest.raises(MemvitError, match=r"not of fasterrcnn_resnet50_fpn: found .* expected"):
        open_boxes("fasterrcnn_resnet50_fpn", weights=detector_file)
    cut = tmp_path / "cut.pth"
    cut.write_bytes(detector_file.read_bytes()[:100_000])
    with pytest.raises(MemvitError, match=r"cut.pth: this is not a complete PyTorch checkpoint"):
        open_boxes(DETECTOR, weights=cut)
    with pytest.raises(MemvitError, match="no such file of detector weights"):
        open_boxes(DETECTOR, weights=tmp_path / "missing.pth")
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(MemvitError, match="found a list"):
        open_boxes(DETECTOR, weights=tmp_path / "list.pth")


def test_offline_the_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(MemvitError) as caught:
        open_boxes(DETECTOR)
    message = str(caught.value)
    assert "https://download.pytorch.org/models/fasterrcnn_mobilenet_v3_large_320_fpn" in message
    assert str(tmp_path / "hub" / "checkpoints") in message
    assert "--boxes-weights" in message and "--boxes full" in message
