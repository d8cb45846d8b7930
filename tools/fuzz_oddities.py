"""Pathological videos for `tools/fuzz_videos.py`, each made by a function of its own: extreme shapes, lying headers,
playlists under a video's name, and what is no file at all."""

from __future__ import annotations

import os
import socket
import struct
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np

from tools.fuzz_corpus import Image, encode, moving

SHAPES = {
    "mjpeg": ((16384, 16), (16, 16384), (8192, 8), (2048, 2048), (3000, 100)),
    "libx264": ((16384, 16), (16, 16384), (4096, 64), (64, 4096), (16, 16), (2, 2), (4096, 2160)),
    "ffv1": ((1, 1), (17, 33), (333, 17), (5, 700), (16000, 4)),
    "mpeg4": ((4096, 8), (8, 4096), (176, 144)),
    "libvpx-vp9": ((16384, 16), (1, 64), (33, 47)),
    "libsvtav1": ((64, 64), (4096, 64)),
}
ENDINGS = {"mjpeg": "avi", "ffv1": "mkv", "libvpx-vp9": "webm"}
LISTS = {
    "ffconcat.mp4": "ffconcat version 1.0\nfile {name}\n",
    "ffconcat.mkv": "ffconcat version 1.0\nfile {path}\n",
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9.0,\n{path}\n#EXT-X-ENDLIST\n",
    "hls.ts": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9.0,\nfile:{path}\n#EXT-X-ENDLIST\n",
    "hls.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9.0,\n{name}\n#EXT-X-ENDLIST\n",
    "dash.mp4": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT2S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" '
    'bandwidth="1"><BaseURL>{path}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "sdp.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "text.mp4": "A text that is no video at all. " * 40,
    "subtitles.mp4": "1\n00:00:00,000 --> 00:00:09,000\nHello\n",
    "page.webm": "<html><body>404</body></html>",
}


def odd_videos(folder: Path, only: str = "") -> list[Path]:
    """Those whose names hold a word; a name says what was done to the file."""
    folder.mkdir(parents=True, exist_ok=True)
    encode(folder / "good.mp4", moving(96, 64))  # others link to it, or are made of it
    makers: dict[str, Callable[[Path], object]] = dict(MADE)
    for codec, sizes in SHAPES.items():
        for width, height in sizes:
            name = f"{codec}_{width}x{height}.{ENDINGS.get(codec, 'mp4')}"
            makers[name] = partial(_shaped, codec, width, height)
    makers |= {f"list_{name}": partial(_list, text) for name, text in LISTS.items()}
    paths = []
    for name, make in makers.items():
        if only in name:
            paths.append(folder / name)
            make(paths[-1])
    return paths


def _shaped(codec: str, width: int, height: int, path: Path) -> None:
    pixel_format = "bgr0" if codec == "ffv1" else "yuv444p" if min(width, height) == 1 else None
    count = 2 if width * height > 10**6 else 12
    encode(path, moving(width, height, count), codec, pixel_format=pixel_format)


def _list(text: str, path: Path) -> None:
    path.write_text(text.format(name="good.mp4", path=path.parent / "good.mp4"))


def _bytes(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _sparse(path: Path) -> None:
    content = (path.parent / "good.mp4").read_bytes()
    with path.open("wb") as file:
        file.write(content[:64])
        file.truncate(20 * 2**30)


def _edited(path: Path, mark: bytes, offset: int, value: bytes, **made: object) -> None:
    """A good video with other bytes behind a mark."""
    encode(path, moving(96, 64), **made)  # type: ignore[arg-type]
    content = bytearray(path.read_bytes())
    place = content.index(mark) + len(mark) + offset
    content[place : place + len(value)] = value
    path.write_bytes(content)


def _vp9_of(width: int, height: int, path: Path) -> None:
    """VP9 whose every key frame says that it has another size."""
    encode(path, moving(96, 64, 6), "libvpx-vp9", g="1")
    content = bytearray(path.read_bytes())
    place = content.find(b"\x49\x83\x42")
    while place >= 0:
        bits = int.from_bytes(content[place + 3 : place + 8], "big")
        size = (width - 1) << 16 | (height - 1)
        content[place + 3 : place + 8] = (bits & ~(0xFFFFFFFF << 4) | size << 4).to_bytes(5, "big")
        place = content.find(b"\x49\x83\x42", place + 8)
    path.write_bytes(content)


def _jpeg_of(width: int, height: int, path: Path) -> None:
    """Motion JPEG whose frames say that they have another size; the container says so, too."""
    encode(path, moving(96, 64, 6), "mjpeg")
    content = path.read_bytes()
    content = content.replace(struct.pack(">HH", 64, 96), struct.pack(">HH", height, width))
    path.write_bytes(content.replace(struct.pack("<II", 96, 64), struct.pack("<II", width, height)))


def _png(width: int, height: int) -> bytes:
    """A PNG of few bytes and many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" * (1 + (width + 7) // 8)
    pixels = zlib.compressobj()
    data = b"".join(pixels.compress(row) for _ in range(height)) + pixels.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _frames(folder: Path, content: bytes) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(1, 4):
        (folder / f"img_{number:05d}.png").write_bytes(content)


def _joined(sizes: Sequence[tuple[int, int]], path: Path, codec: str = "libx264") -> None:
    """One stream whose pictures change their size."""
    parts = []
    for number, (width, height) in enumerate(sizes):
        part = path.with_suffix(f".part{number}")
        pts = range(20 * number, 20 * number + 20)
        encode(part, moving(width, height, 20), codec, pts=pts, container="mpegts", rate=25)
        parts.append(part.read_bytes())
        part.unlink()
    path.write_bytes(b"".join(parts))


def _jpegs(sizes: Sequence[tuple[int, int]], path: Path) -> None:
    """Motion JPEG in Matroska, whose header knows the first size only."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mjpeg", rate=25)
        assert isinstance(stream, av.VideoStream)
        (stream.width, stream.height), stream.pix_fmt = sizes[0], "yuvj420p"
        for index in range(40):
            width, height = sizes[index * len(sizes) // 40]
            encoder = av.CodecContext.create("mjpeg", "w")
            assert isinstance(encoder, av.VideoCodecContext)
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
            encoder.time_base = Fraction(1, 25)
            frame = av.VideoFrame.from_ndarray(moving(width, height, 1)[0], "rgb24").reformat(format="yuvj420p")
            for packet in encoder.encode(frame):
                packet.stream, packet.pts, packet.dts, packet.time_base = stream, index, index, Fraction(1, 25)
                output.mux(packet)


def _sound(path: Path, container: str | None = None) -> None:
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream("aac", rate=16_000)
        assert isinstance(stream, av.AudioStream)
        for start in range(0, 16_000, 1024):
            samples = np.sin(np.arange(start, start + 1024) / 8).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, start, Fraction(1, 16_000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())


def _socket(path: Path) -> None:
    path.unlink(missing_ok=True)
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))


def _link(target: str, path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _encoded(
    path: Path, images: Callable[[], list[Image]] | None = None, codec: str = "libx264", **more: object
) -> None:
    encode(path, images() if images else moving(96, 64), codec, **more)  # type: ignore[arg-type]


HUGE = struct.pack(">I", 0xFFFFFFFF)
MADE: dict[str, Callable[[Path], object]] = {
    "empty.mp4": partial(_bytes, b""),
    "one_byte.mp4": partial(_bytes, b"\0"),
    "ftyp_only.mp4": partial(_bytes, b"\0\0\0\x18ftypisom\0\0\2\0isomiso2"),
    "zeros.mp4": partial(_bytes, bytes(2**20)),
    "noise.mkv": partial(_bytes, np.random.default_rng(1).bytes(2**20)),
    "noise.ts": partial(_bytes, b"\x47" * 188 * 5000),
    "sparse_20_gib.mp4": _sparse,
    "folder.mp4": lambda path: path.mkdir(exist_ok=True),
    "fifo.mp4": _fifo,
    "socket.mp4": _socket,
    "loop.mp4": partial(_link, "loop.mp4"),
    "dangling.mp4": partial(_link, "nothing.mp4"),
    "link.mp4": partial(_link, "good.mp4"),
    "endless.mp4": partial(_link, "/dev/zero"),
    "null.mp4": partial(_link, "/dev/null"),
    "png.mp4": partial(_bytes, _png(96, 64)),
    "png_16000x16000.mp4": partial(_bytes, _png(16000, 16000)),
    "frames_16000x16000": partial(_frames, content=_png(16000, 16000)),
    "frames_16384x16": partial(_frames, content=_png(16384, 16)),
    "vp9_16000x16000.webm": partial(_vp9_of, 16000, 16000),
    "vp9_65535x2.webm": partial(_vp9_of, 65535, 2),
    "jpeg_16000x16000.avi": partial(_jpeg_of, 16000, 16000),
    "jpeg_65000x100.avi": partial(_jpeg_of, 65000, 100),
    "sound.mp4": _sound,
    "sound_of_ts.mp4": partial(_sound, container="mpegts"),
    "one_frame.mp4": partial(_encoded, images=lambda: moving(96, 64, 1)),
    "one_frame.ts": partial(_encoded, images=lambda: moving(96, 64, 1)),
    "one_frame.avi": partial(_encoded, images=lambda: moving(96, 64, 1), codec="mjpeg"),
    "duration_huge.mp4": partial(_edited, mark=b"mvhd", offset=16, value=HUGE),
    "duration_huge.mkv": partial(_edited, mark=b"\x44\x89\x88", offset=0, value=struct.pack(">d", 1e18)),
    "duration_negative.mkv": partial(_edited, mark=b"\x44\x89\x88", offset=0, value=struct.pack(">d", -5e9)),
    "duration_nan.mkv": partial(_edited, mark=b"\x44\x89\x88", offset=0, value=struct.pack(">d", float("nan"))),
    "samples_huge.mp4": partial(_edited, mark=b"stsz", offset=8, value=HUGE),
    "table_huge.mp4": partial(_edited, mark=b"stts", offset=4, value=HUGE),
    "timescale_zero.mp4": partial(_edited, mark=b"mdhd", offset=12, value=bytes(4)),
    "rate_zero.avi": partial(_edited, mark=b"strh", offset=28, value=bytes(4)),
    "size_huge.mp4": partial(_edited, mark=b"avc1", offset=24, value=b"\xff\xff\xff\xff"),
    "size_zero.mp4": partial(_edited, mark=b"avc1", offset=24, value=bytes(4)),
    "far_apart.mkv": partial(_encoded, pts=[10**6 * index for index in range(36)]),
    "at_1000_fps.mp4": partial(_encoded, rate=1000),
    "at_0.1_fps.mp4": partial(_encoded, images=lambda: moving(96, 64, 5), rate=Fraction(1, 10)),
    "rotated_90.mp4": partial(_encoded, rotation=90.0),
    "rotated_45.mp4": partial(_encoded, rotation=45.0),
    "grey16.mkv": partial(_encoded, codec="ffv1", pixel_format="gray16le"),
    "yuv444p10.mkv": partial(_encoded, codec="ffv1", pixel_format="yuv444p10le"),
    "tracks_40.mp4": partial(_encoded, images=lambda: moving(96, 64, 8), tracks=40),
    "grows.ts": partial(_joined, [(96, 64), (128, 128), (96, 64)]),
    "grows_to_4096x16.ts": partial(_joined, [(96, 64), (4096, 16)]),
    "grows.mkv": partial(_jpegs, [(96, 64), (64, 96), (96, 64)]),
    "grows_to_16384x16.mkv": partial(_jpegs, [(96, 64), (16384, 16)]),
    "grows_to_12000x12000.mkv": partial(_jpegs, [(96, 64)] * 39 + [(12000, 12000)]),
    "a name: with, %03d [odd] #signs?.mp4": _encoded,
}
