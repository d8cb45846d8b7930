"""No credential ever leaves: locations as they are shown, and names made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from memvit.video.sources.location import is_camera, is_url, redact, source_name


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("rtsp://camera.example:554/stream1", "rtsp://camera.example:554/stream1"),
        ("rtsp://user:secret@camera.example:554/stream1", "rtsp://***@camera.example:554/stream1"),
        ("rtsp://user@camera.example/s", "rtsp://***@camera.example/s"),
        ("rtsp://user:se/cr@et@camera.example/s", "rtsp://***@camera.example/s"),
        ("rtsp://user:se?secret@camera.example/s", "rtsp://***@camera.example/s"),
        ("rtsp://user:se#secret@camera.example/s", "rtsp://***@camera.example/s"),
        ("rtsp://user:secret@[::1]:554/s", "rtsp://***@[::1]:554/s"),
        ("https://host/a.mp4?token=secret&x=1", "https://host/a.mp4?…"),
        ("https://host/a.mp4#secret", "https://host/a.mp4?…"),
        ("https://host/a.mp4?mail=secret@x.org", "https://host/a.mp4?…"),
        ("http://user:secret@host", "http://***@host"),
        ("http://user:secret@host?key=secret", "http://***@host?…"),
        ("async:http://user:secret@host/a", "async:http://***@host/a"),
        ("/data/user@home/a.mp4", "/data/user@home/a.mp4"),
        ("a b.mp4", "a b.mp4"),
    ],
)
def test_redact(location: str, shown: str) -> None:
    assert redact(location) == shown
    assert "secret" not in redact(location) + source_name(location)


def test_redact_takes_paths() -> None:
    assert redact(Path("/data/a.mp4")) == "/data/a.mp4"


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("/data/clip.01.mp4", "clip.01"),
        ("clip", "clip"),
        ("/dev/video0", "video0"),
        ("rtsp://u:p@camera.example:8554/live/front?x=1", "camera.example_8554_live_front"),
        ("https://host/v/a.m3u8", "host_v_a.m3u8"),
        ("udp://:1234", "1234"),
        ("udp://@", "stream"),
    ],
)
def test_source_name_is_a_file_name(location: str, name: str) -> None:
    assert source_name(location) == name


def test_folder_keeps_its_whole_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "movie.v2"
    folder.mkdir()
    assert source_name(folder) == "movie.v2"
    monkeypatch.chdir(folder)
    assert source_name(".") == "movie.v2"


def test_kinds() -> None:
    assert is_url("rtsp://h") and is_url("HTTP://h") and not is_url("/a/b.mp4") and not is_url("C:\\a.mp4")
    assert is_camera("/dev/video12") and not is_camera("/dev/video") and not is_camera("/tmp/video0")
