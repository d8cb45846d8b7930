"""What looks like a video must not have FFmpeg read other files, nor hold the process up."""

from __future__ import annotations

import http.server
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from memvit.types import SourceError
from memvit.video.sources import local_file
from memvit.video.sources.open import open_source
from memvit.video.sources.protocols import ffmpeg_options
from tests.video import make

LISTS = {
    "list.mp4": "ffconcat version 1.0\nfile good.mp4\n",
    "concat.mkv": "ffconcat version 1.0\nfile {folder}/good.mp4\n",
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9.0,\ngood.mp4\n#EXT-X-ENDLIST\n",
    "hls.ts": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9.0,\nfile:{folder}/good.mp4\n#EXT-X-ENDLIST\n",
    "dash.mp4": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT2S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" '
    'bandwidth="1"><BaseURL>{folder}/good.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>',
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lists")
    make.write(folder / "good.mp4", make.counted(3))
    for name, text in LISTS.items():
        (folder / name).write_text(text.format(folder=folder))
    (folder / "picture.mp4").write_bytes(
        make.write_images(folder / "frames", [1]).joinpath("VIDEO_000001.jpg").read_bytes()
    )
    return folder


@pytest.mark.parametrize("name", [*LISTS, "picture.mp4"])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_text_that_names_videos_is_no_video(folder: Path, name: str, scheme: str) -> None:
    with pytest.raises(SourceError, match=rf"{name}: .*not a video"):
        open_source(f"{scheme}{folder / name}")
    with open_source(f"{scheme}{folder / 'good.mp4'}") as source:
        assert len(list(source)) == 3


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize(
    ("create", "kind"),
    [(make_pipe, "a pipe"), (make_socket, "a socket"), (lambda path: path.symlink_to("/dev/zero"), "a device")],
)
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, create, kind: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a.mp4"
    create(path)
    with pytest.raises(SourceError, match=f"a.mp4: this is {kind} and not a file"):
        open_source(path)


def test_a_disk_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, done = make.write(tmp_path / "a.mp4", make.counted(3)), threading.Event()
    original = local_file._read_mode
    monkeypatch.setattr(local_file, "_read_mode", lambda *these: done.wait(30) and original(*these))
    with pytest.raises(SourceError, match=r"did not answer within 0\.1 s") as caught:
        open_source(path, open_timeout_seconds=0.1)
    assert caught.value.kind == "timeout"
    done.set()


@pytest.mark.parametrize(
    ("location", "protocols"),
    [
        ("/a/b.mp4", {"file"}),
        ("http://x/a", {"http", "https", "tcp", "tls", "crypto", "data"}),
        ("rtsp://x/a", {"rtsp", "rtp", "srtp", "udp", "tcp", "tls"}),
        ("RTSPS://x/a", {"rtsps", "rtsp", "rtp", "srtp", "udp", "tcp", "tls"}),
        ("udp://239.0.0.1:1234", {"udp"}),
        ("concat://a|b", {"concat"}),
    ],
)
def test_a_location_may_use_its_own_protocols_only(location: str, protocols: set[str]) -> None:
    assert set(ffmpeg_options(location)["protocol_whitelist"].split(",")) == protocols


def test_playlists_are_for_addresses_only() -> None:
    assert "hls" not in ffmpeg_options("a.mp4")["format_whitelist"].split(",")
    assert "hls" in ffmpeg_options("https://x/list.m3u8")["format_whitelist"].split(",")
    assert "concat" not in ffmpeg_options("https://x/list.txt")["format_whitelist"].split(",")
    assert ffmpeg_options("/dev/video0") == {}


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """Address of a server of the files in `tmp_path`."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("kind", ["mpegts", "fmp4"])
def test_a_playlist_of_an_address_is_read(tmp_path: Path, web: str, kind: str) -> None:
    options = {"hls_segment_type": kind, "hls_time": "0.5", "hls_list_size": "0"}
    make.write(tmp_path / "list.m3u8", make.counted(30), container_format="hls", container_options=options, g="10")
    with open_source(f"{web}/list.m3u8") as source:
        assert len(list(source)) == 30


def test_a_playlist_of_an_address_names_no_files_of_this_machine(folder: Path, tmp_path: Path, web: str) -> None:
    (tmp_path / "list.m3u8").write_text(LISTS["hls.ts"].format(folder=folder))
    with pytest.raises(SourceError):
        open_source(f"{web}/list.m3u8")
