"""Hostile videos for `tools/fuzz_videos.py`: small good videos, and damaged copies of them. The same for a seed.

The pathological files, which are made one by one, are in `tools/fuzz_oddities.py`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tools.scheduling import usual_scheduling

os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder reports every setting otherwise
RATE = 15
FRAMES = 36
FAST = {
    "libx264": {"preset": "ultrafast", "g": "12"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:keyint=12:pools=1:frame-threads=1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "g": "12"},
    "libsvtav1": {"preset": "13", "g": "12", "svtav1-params": "lp=1"},
}
GOOD = {
    "libx264": ("mp4", "mkv", "ts", "avi", "mov", "flv"),
    "libx265": ("mp4", "mkv", "ts"),
    "libvpx-vp9": ("webm", "mkv", "mp4"),
    "libsvtav1": ("mp4", "webm", "mkv"),
    "mpeg4": ("avi", "mp4", "mov"),
    "mjpeg": ("avi", "mov", "mkv"),
    "mpeg2video": ("ts", "mpg"),
}
"""Encoder → endings of the containers that it is put into."""
BOXES = "mvhd tkhd mdhd stsd stts stsz stsc stco ctts elst avcC hvcC av1C vpcC trun mdat avih strh strf idx1 movi LIST"
ELEMENTS = "4489 2ad7b1 1654ae6b b082 ba82 23e383"
FIELDS = [*map(str.encode, BOXES.split()), *map(bytes.fromhex, ELEMENTS.split())]
"""Marks of headers: the values after them are edited."""
EXTREMES = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
Image = NDArray[np.uint8]


def moving(width: int, height: int, count: int = FRAMES) -> list[Image]:
    """Coarse noise that moves: packets with enough bytes to damage."""
    noise = np.random.default_rng(0).integers(0, 255, (-(-height // 4), -(-width // 4), 3), np.uint8)
    image = np.repeat(np.repeat(noise, 4, 0), 4, 1)[:height, :width]
    return [np.ascontiguousarray(np.roll(image, 3 * index, axis=1)) for index in range(count)]


def encode(
    path: Path,
    images: Sequence[Image],
    codec: str = "libx264",
    *,
    pixel_format: str | None = None,
    rate: Fraction | int = RATE,
    pts: Sequence[int] | None = None,
    rotation: float | None = None,
    tracks: int = 1,
    container: str | None = None,
    **options: str,
) -> Path:
    """Write a video; `pts` are in 1 / rate seconds."""
    pixel_format = pixel_format or ("yuvj420p" if codec == "mjpeg" else "yuv420p")
    with usual_scheduling(), av.open(str(path), "w", format=container) as output:
        streams = []
        for _ in range(tracks):
            stream = output.add_stream(codec, rate=rate, options={"threads": "1"} | FAST.get(codec, {}) | options)
            assert isinstance(stream, av.VideoStream)
            stream.height, stream.width = images[0].shape[:2]
            stream.pix_fmt, stream.codec_context.time_base = pixel_format, 1 / Fraction(rate)
            if rotation is not None:
                stream.set_display_rotation(rotation, False, False)
            streams.append(stream)
        for index, image in enumerate(images):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format=pixel_format)
                frame.pts, frame.time_base = index if pts is None else pts[index], 1 / Fraction(rate)
                output.mux(stream.encode(frame))
        for stream in streams:
            output.mux(stream.encode())
    return path


def good_videos(folder: Path, containers: Mapping[str, Sequence[str]] = GOOD) -> list[Path]:
    """A small video of every codec in every container."""
    folder.mkdir(parents=True, exist_ok=True)
    images, paths = moving(96, 64), []
    for codec, endings in containers.items():
        for ending in endings:
            # MPEG-2 knows a few rates only.
            rate = 25 if codec == "mpeg2video" else RATE
            path = folder / f"{codec.removeprefix('lib')}.{ending}"
            paths.append(encode(path, images, codec, rate=rate))
    return paths


def flip_bits(content: bytearray, chance: random.Random, others: Sequence[bytes]) -> bytearray:
    """A few bits anywhere, or many in one place."""
    count = chance.choice((1, 4, 16, 64, 256))
    first, last = sorted((chance.randrange(len(content)), chance.randrange(len(content))))
    for _ in range(count):
        content[chance.randint(first, last)] ^= 1 << chance.randrange(8)
    return content


def truncate(content: bytearray, chance: random.Random, others: Sequence[bytes]) -> bytearray:
    """The end is missing, as after a copy that broke off."""
    return content[: chance.randrange(1, len(content))]


def splice(content: bytearray, chance: random.Random, others: Sequence[bytes]) -> bytearray:
    """A part is missing, comes twice, or is that of another file."""
    first, last = sorted((chance.randrange(len(content)), chance.randrange(len(content))))
    other = chance.choice(others)
    middle = chance.choice((b"", bytes(content[first:last]) * 2, other[first:last], other, bytes(last - first)))
    return content[:first] + middle + content[last:]


def edit_header(content: bytearray, chance: random.Random, others: Sequence[bytes]) -> bytearray:
    """Extreme values in the fields of a header."""
    marks = [place for mark in FIELDS for place in _places(content, mark)] or [0, max(0, len(content) - 512)]
    for _ in range(chance.choice((1, 2, 4))):
        width = chance.choice((1, 2, 4))
        place = min(chance.choice(marks) + chance.randrange(2, 64), len(content) - width)
        value = chance.choice((*EXTREMES, chance.randrange(2**32))) & (2 ** (8 * width) - 1)
        content[place : place + width] = value.to_bytes(width, chance.choice(("big", "little")))
    return content


MUTATIONS = {"bits": flip_bits, "cut": truncate, "splice": splice, "header": edit_header}


def mutated_videos(folder: Path, good: Sequence[Path], seed: int, count: int) -> list[Path]:
    """Damaged copies of good videos: every video and every way in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    contents, paths = [path.read_bytes() for path in good], []
    ways = list(MUTATIONS.items())
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        source, (name, mutate) = number % len(good), ways[number // len(good) % len(ways)]
        path = folder / f"{number:03d}_{name}_{good[source].name}"
        path.write_bytes(mutate(bytearray(contents[source]), chance, contents))
        paths.append(path)
    return paths


def _places(content: bytearray, mark: bytes) -> list[int]:
    found: list[int] = []
    place = content.find(mark)
    while place >= 0 and len(found) < 8:
        found.append(place + len(mark))
        place = content.find(mark, place + 1)
    return found
