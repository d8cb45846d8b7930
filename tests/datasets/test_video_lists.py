"""Lists as they are published, and what is said of malformed ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memvit.datasets.video_lists import missing_videos, read_video_list
from memvit.labels import Labels, labels_for
from memvit.types import MemvitError

K400 = labels_for(400, "k400")
SSV2 = labels_for(174, "ssv2")


def test_pyslowfast_lines_are_what_pytorchvideo_reads(tmp_path: Path) -> None:
    pytest.importorskip("pytorchvideo")
    from pytorchvideo.data.labeled_video_paths import LabeledVideoPaths

    listing = tmp_path / "train.csv"
    listing.write_text("a/one.mp4 3\nb/two.mp4 0\n")
    theirs = LabeledVideoPaths.from_csv(str(listing))
    ours = read_video_list(listing, K400, root=tmp_path)
    assert [(str(v.path.relative_to(tmp_path)), v.label) for v in ours] == [
        (path, info["label"]) for path, info in (theirs[i] for i in range(len(theirs)))
    ]


def test_names_with_spaces_and_commas(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("my video.mp4 1\n\nother.mp4,2\n")
    assert [(v.path.name, v.label) for v in read_video_list(tmp_path / "list.txt", K400)] == [
        ("my video.mp4", 1),
        ("other.mp4", 2),
    ]


def test_kinetics_csv_finds_files_in_class_folders(tmp_path: Path) -> None:
    (tmp_path / "val.csv").write_text(
        "label,youtube_id,time_start,time_end,split\n"
        "air drumming,abc_-12345x,10,20,val\n"
        "abseiling,zzzzzzzzzzz,0,10,val\n"
    )
    (tmp_path / "air drumming").mkdir()
    (tmp_path / "air drumming" / "abc_-12345x_000010_000020.mp4").touch()
    videos = read_video_list(tmp_path / "val.csv", K400)
    assert videos[0].path == tmp_path / "air drumming" / "abc_-12345x_000010_000020.mp4"
    assert [video.label for video in videos] == [1, 0]
    assert missing_videos(videos) == [videos[1]]


def test_kinetics_json(tmp_path: Path) -> None:
    entry = {"annotations": {"label": "abseiling", "segment": [4.0, 14.0]}, "duration": 10.0, "subset": "val"}
    (tmp_path / "val.json").write_text(json.dumps({"0wR5jVB-WPk": entry}))
    (video,) = read_video_list(tmp_path / "val.json", K400, root=tmp_path / "videos")
    assert video.path == tmp_path / "videos" / "0wR5jVB-WPk_000004_000014.mp4"
    assert video.label == 0


def test_something_something_json(tmp_path: Path) -> None:
    entry = {"id": "78687", "label": "holding potato", "template": "Holding [something] next to [something]"}
    (tmp_path / "validation.json").write_text(json.dumps([entry]))
    (video,) = read_video_list(tmp_path / "validation.json", SSV2)
    assert SSV2.names[video.label].lower() == "holding something next to something"
    assert video.path == tmp_path / "78687.webm"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "x.mp4 0\nbroken\n", r"a\.txt:2: 'broken' is not `path label`"),
        ("a.txt", "x.mp4 400\n", r"a\.txt:1: class 400, but there are 400 classes"),
        ("a.txt", "", "there are no videos in it"),
        ("a.json", "{", r"a\.json:1: this is not valid JSON"),
        ("a.json", '[{"id": 1}]', r"a\.json: entry 0 is malformed"),
        ("a.csv", "label,youtube_id,time_start,time_end\nno such class,x,1,2\n", r"a\.csv:2: 'no such class' is not"),
        (
            "a.csv",
            "label,youtube_id,time_start,time_end\nabseiling,x,one,2\n",
            r"a\.csv:2: this is not label,youtube_id",
        ),
    ],
)
def test_malformed_lists_are_refused_with_the_place(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(MemvitError, match=message):
        read_video_list(tmp_path / name, K400)


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MemvitError, match="cannot be read"):
        read_video_list(tmp_path / "none.txt", Labels(("a",)))
