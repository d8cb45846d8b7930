"""What a user may name as input, and which videos are found."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from memvit.store import fingerprint
from memvit.types import MemvitError
from pipelines.extract.inputs import find_videos, refuse_special
from pipelines.extract.resume import segments_of
from pipelines.extract.tasks import ExtractOptions
from tests.video.make import write_images


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.mp4", "a.MKV", "notes.txt.bak", "deep/c.webm", "deep/er/d.avi", "old.zarr/e.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    write_images(tmp_path / "deep" / "frames", range(2))
    return tmp_path


def names(found: list[str], tree: Path) -> list[str]:
    return [str(Path(path).relative_to(tree)) for path in found]


def test_a_folder_is_searched_with_everything_below_it(tree: Path) -> None:
    expected = ["a.MKV", "b.mp4", "deep/c.webm", "deep/er/d.avi", "deep/frames"]
    assert names(find_videos([str(tree)]), tree) == expected


def test_a_picture_beside_folders_of_videos_does_not_hide_them(tree: Path) -> None:
    (tree / "top").mkdir()
    (tree / "top/poster_1.jpg").write_bytes(b"")
    (tree / "deep").rename(tree / "top/deep")
    assert names(find_videos([str(tree / "top")]), tree) == ["top/deep/c.webm", "top/deep/er/d.avi", "top/deep/frames"]


def test_patterns_files_and_urls_name_each_video_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    found = find_videos(["**/*.webm", "b.mp4", str(tree / "b.mp4"), "https://host/x.mp4", "deep/er"])
    assert found == [
        *(str(tree / name) for name in ("deep/c.webm", "b.mp4")),
        "https://host/x.mp4",
        str(tree / "deep/er/d.avi"),
    ]


def test_lists_name_videos(tree: Path) -> None:
    (tree / "list.txt").write_text("# films\nb.mp4\n\n/elsewhere/x.mp4\nrtmp://host/live\n")
    assert find_videos([str(tree / "list.txt")]) == [str(tree / "b.mp4"), "/elsewhere/x.mp4", "rtmp://host/live"]
    (tree / "list.csv").write_text('label,path\n3,"b.mp4"\n4,deep/c.webm\n')
    assert names(find_videos([str(tree / "list.csv")]), tree) == ["b.mp4", "deep/c.webm"]
    (tree / "plain.csv").write_text("b.mp4,0\ndeep/c.webm,1\n")
    assert names(find_videos([str(tree / "plain.csv")]), tree) == ["b.mp4", "deep/c.webm"]
    (tree / "short.csv").write_text("label,path\n3\n")
    with pytest.raises(MemvitError, match=r"short\.csv:2: there is no column 1"):
        find_videos([str(tree / "short.csv")])


def test_inputs_without_a_video_are_refused(tree: Path) -> None:
    for name, sentence in {"none.mp4": "no such file or folder", "*.mov": "no video here"}.items():
        with pytest.raises(MemvitError, match=sentence):
            find_videos([str(tree / name)])


def test_links_are_followed_once(tree: Path) -> None:
    """There are a circle of links, and a folder and a file with two names each."""
    (tree / "deep" / "loop").symlink_to(tree)
    (tree / "again").symlink_to(tree / "deep")
    (tree / "0.mp4").symlink_to(tree / "b.mp4")
    notes: list[str] = []
    expected = ["a.MKV", "b.mp4", "deep/c.webm", "deep/er/d.avi", "deep/frames"]
    assert sorted(names(find_videos([str(tree)], notes.append), tree)) == expected
    assert notes == [f"{tree / '0.mp4'}: it is the same file as {tree / 'b.mp4'}, which is taken"]


def test_a_folder_that_cannot_be_read_is_left_out(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Path.iterdir

    def denied(self: Path) -> Iterator[Path]:
        if self.name == "er":
            raise PermissionError(13, "Permission denied", str(self))
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", denied)
    notes: list[str] = []
    assert names(find_videos([str(tree)], notes.append), tree) == ["a.MKV", "b.mp4", "deep/c.webm", "deep/frames"]
    assert len(notes) == 1 and f"{tree / 'deep' / 'er'}: left out" in notes[0] and "Permission denied" in notes[0]
    with pytest.raises(MemvitError, match="this folder cannot be read"):
        find_videos([str(tree / "deep" / "er")])


def test_pipes_and_sockets_are_refused_without_opening_them(tree: Path) -> None:
    os.mkfifo(tree / "pipe.mp4")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tree / "socket.mp4"))
    server.close()
    notes: list[str] = []
    assert "pipe.mp4" not in " ".join(names(find_videos([str(tree)], notes.append), tree))
    assert sorted(note.split(": ")[1] for note in notes) == [
        "it is a named pipe and not a video file; leave it out",
        "it is a socket and not a video file; leave it out",
    ]
    os.mkfifo(tree / "list.txt")
    with pytest.raises(MemvitError, match="it is a named pipe"):
        find_videos([str(tree / "list.txt")])
    with pytest.raises(OSError, match="not a file"):
        fingerprint(str(tree / "pipe.mp4"))
    for location in (tree / "pipe.mp4", "/dev/zero"):
        with pytest.raises(MemvitError, match="not a video file; leave it out"):
            refuse_special(str(location))
    refuse_special("/dev/video0")
    refuse_special(str(tree / "b.mp4"))


def test_segments_cover_everything_once() -> None:
    options = ExtractOptions(segment_seconds=30, hop_seconds=0.5)
    assert segments_of(100.0, 0.0, options) == ((None, 67), (67, 134), (134, None))
    assert segments_of(100.0, 900.0, options) == ((None, 1867), (1867, 1934), (1934, None))
    assert segments_of(40.0, 0.0, options) == segments_of(None, 0.0, options) == ((None, None),)
    assert segments_of(1e5, 0.0, ExtractOptions()) == ((None, None),)
