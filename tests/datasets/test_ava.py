"""Annotations and footage in AVA's format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memvit.datasets.ava import Footage, folders_of, read_annotations
from memvit.datasets.ava_files import read_exclusions, read_label_map
from memvit.types import MemvitError
from tests.video.make import counted, number_of, write

ROWS = """\
0f39OWEqJ24,0902,0.031,0.162,0.670,0.995,12,0
0f39OWEqJ24,0902,0.031,0.162,0.670,0.995,17,0
0f39OWEqJ24,0903,0.034,0.189,0.669,0.980,12,0
0f39OWEqJ24,0903,0.500,0.189,0.669,0.980,80,1
_-Z6wFjXtGQ,0902,0.063,0.049,0.524,0.996,12,0
"""


def test_labels_of_equal_boxes_are_merged(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(ROWS)
    first, second = read_annotations([tmp_path / "train.csv"], num_classes=80)
    assert (first.name, [keyframe.second for keyframe in first.keyframes]) == ("0f39OWEqJ24", [902, 903])
    assert first.keyframes[0].labels.shape == (1, 80)
    assert np.flatnonzero(first.keyframes[0].labels[0]).tolist() == [11, 16]
    assert [np.flatnonzero(row).tolist() for row in first.keyframes[1].labels] == [[11], [79]]
    assert second.name == "_-Z6wFjXtGQ"


def test_predicted_boxes_have_a_threshold_and_may_have_no_action(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(ROWS)
    (tmp_path / "predicted.csv").write_text(
        "0f39OWEqJ24,0902,0.1,0.1,0.2,0.2,,0.95\n0f39OWEqJ24,0902,0.3,0.1,0.4,0.2,,0.89\n"
        "0f39OWEqJ24,0904,0.031,0.162,0.670,0.995,5,0.99\n"
    )
    first, _ = read_annotations([tmp_path / "train.csv"], [tmp_path / "predicted.csv"], num_classes=80)
    assert [keyframe.second for keyframe in first.keyframes] == [902, 903, 904]
    assert len(first.keyframes[0].boxes) == 2
    assert not first.keyframes[0].labels[1].any()
    assert first.keyframes[0].boxes.scores.tolist() == pytest.approx([1.0, 0.95])
    assert np.flatnonzero(first.keyframes[2].labels[0]).tolist() == [4]


def test_actions_beyond_the_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(ROWS)
    with pytest.raises(MemvitError, match=r"action 80 occurs .* the model has 60 classes"):
        read_annotations([tmp_path / "train.csv"], num_classes=60)
    (tmp_path / "p.csv").write_text("v,0902,0.1,0.1,0.2,0.2,3\n")
    with pytest.raises(MemvitError, match="has no score"):
        read_annotations([], [tmp_path / "p.csv"], num_classes=60)


def test_exclusions_and_label_maps_in_both_forms(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("_-Z6wFjXtGQ,0902\n")
    assert read_exclusions(tmp_path / "x.csv") == {("_-Z6wFjXtGQ", 902)}
    (tmp_path / "y.csv").write_text("_-Z6wFjXtGQ 0902\n")
    with pytest.raises(MemvitError, match=r"y\.csv:1"):
        read_exclusions(tmp_path / "y.csv")
    (tmp_path / "2018.pbtxt").write_text('item {\n  name: "run"\n  id: 3\n}\nitem {\n  name: "sit"\n  id: 7\n}\n')
    (tmp_path / "2019.pbtxt").write_text('label {\n  name: "run"\n  label_id: 3\n  label_type: PERSON_MOVEMENT\n}\n')
    assert read_label_map(tmp_path / "2018.pbtxt") == {3: "run", 7: "sit"}
    assert read_label_map(tmp_path / "2019.pbtxt") == {3: "run"}


def test_frame_lists_name_folders(tmp_path: Path) -> None:
    header = "original_vido_id video_id frame_id path labels\n"
    (tmp_path / "train.csv").write_text(header + 'v1 0 0 a/v1/v1_000001.jpg ""\nv1 0 1 a/v1/v1_000002.jpg ""\n')
    assert folders_of(tmp_path / "train.csv") == {"v1": "a/v1"}
    (tmp_path / "train.csv").write_text(header + "v1 0 0\n")
    with pytest.raises(MemvitError, match=r"train\.csv:2: 3 columns"):
        folders_of(tmp_path / "train.csv")


def test_footage_from_frames_and_from_videos(tmp_path: Path) -> None:
    (tmp_path / "frames" / "a" / "v1").mkdir(parents=True)
    for number, image in enumerate(counted(30), 1):
        Image.fromarray(image).save(tmp_path / "frames" / "a" / "v1" / f"v1_{number:06d}.png")
    frames = Footage(frames=tmp_path / "frames", frames_per_second=10, folders={"v1": "a/v1"})
    with frames.open("v1", from_seconds=901.0) as source:
        first = next(source)
        assert (first.pts_seconds, number_of(first.rgb())) == (901.0, 10)
    write(tmp_path / "v2.mkv", counted(30))
    with Footage(videos=tmp_path).open("v2") as source:
        assert number_of(next(source).rgb()) == 0
    with pytest.raises(MemvitError, match="there is no video v3 in this folder"):
        Footage(videos=tmp_path).open("v3")
    with pytest.raises(MemvitError, match="names no footage"):
        Footage().open("v3")
