"""Small real videos, written with PyAV: every helper returns the path it wrote."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from tools.scheduling import usual_scheduling

RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 200, 40), (30, 40, 220), (235, 235, 235)


def corners(width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """Four quarters: red top left, green top right, blue bottom left, white bottom right."""
    image = np.empty((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = RED, GREEN
    image[height // 2 :, : width // 2], image[height // 2 :, width // 2 :] = BLUE, WHITE
    return image


def counted(count: int, width: int = 64, height: int = 48) -> list[NDArray[np.uint8]]:
    """Frames that tell their number by their brightness; see `number_of`. Up to 60 of them."""
    return [np.full((height, width, 3), 16 + 4 * i, np.uint8) for i in range(count)]


def number_of(image: NDArray[np.uint8]) -> int:
    """The number of a frame of `counted`."""
    return round((float(image.mean()) - 16) / 4)


def busy(count: int, width: int = 160, height: int = 120) -> list[NDArray[np.uint8]]:
    """Moving noise: packets with enough bytes to damage."""
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return [np.roll(noise, 3 * i, axis=1) for i in range(count)]


def write(
    path: Path,
    images: Sequence[NDArray[np.uint8]],
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    rate: Fraction | int = 30,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    colorspace: int | None = None,
    color_range: int | None = None,
    display_rotation: tuple[float, bool, bool] | None = None,
    container_format: str | None = None,
    container_options: dict[str, str] | None = None,
    **codec_options: str,
) -> Path:
    """Encode images (at pts / time_base seconds, else at the rate); rotation is (degrees ccw, hflip, vflip)."""
    time_base = time_base or 1 / Fraction(rate)
    with (
        usual_scheduling(),
        av.open(str(path), "w", format=container_format, container_options=container_options or {}) as container,
    ):
        stream = container.add_stream(codec, rate=rate, options={"threads": "1", **codec_options})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.time_base = pixel_format, time_base
        stream.codec_context.time_base = time_base
        if colorspace is not None:
            stream.codec_context.colorspace = colorspace
        if color_range is not None:
            stream.codec_context.color_range = color_range
        if display_rotation is not None:
            stream.set_display_rotation(*display_rotation)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(
                format=pixel_format, dst_colorspace=colorspace, dst_color_range=color_range
            )
            frame.pts, frame.time_base = index if pts is None else pts[index], time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def with_times(path: Path, source: Path, pts_milliseconds: Sequence[int]) -> Path:
    """Copy the packets of an intra-only video to a Matroska file with other times, all >= their index."""
    with av.open(str(source)) as container, av.open(str(path), "w", format="matroska") as copy:
        stream = copy.add_stream_from_template(container.streams.video[0])
        packets = [packet for packet in container.demux(video=0) if packet.size]
        for index, (packet, milliseconds) in enumerate(zip(packets, pts_milliseconds, strict=True)):
            packet.time_base = Fraction(1, 1000)
            packet.pts, packet.dts, packet.stream = milliseconds, min(index, milliseconds), stream
            copy.mux(packet)
    return path


def write_audio(path: Path, seconds: float = 0.5, cover: NDArray[np.uint8] | None = None) -> Path:
    """A tone without video; with a cover picture if given."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame" if path.suffix == ".mp3" else "aac", rate=16_000)
        stream.codec_context.layout = "mono"
        if cover is not None:
            picture = container.add_stream("mjpeg")
            picture.height, picture.width = cover.shape[:2]
            picture.pix_fmt, picture.disposition = "yuvj420p", Disposition.attached_pic
            image = av.VideoFrame.from_ndarray(cover, "rgb24").reformat(format="yuvj420p", dst_color_range=2)
            container.mux(picture.encode(image))
            container.mux(picture.encode())
        samples = np.sin(np.arange(int(seconds * 16_000)) / 8).astype(np.float32)
        for start in range(0, len(samples) - 1023, 1024):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, start, Fraction(1, 16_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_images(
    folder: Path, numbers: Sequence[int], *, name: str = "VIDEO_{:06d}.jpg", width: int = 64, height: int = 48
) -> Path:
    """A folder of JPEGs (or PNGs); image n of the list is frame n of `counted`."""
    folder.mkdir(parents=True, exist_ok=True)
    is_png = name.endswith(".png")
    for number, image in zip(numbers, counted(len(numbers), width, height), strict=True):
        encoder = av.CodecContext.create("png" if is_png else "mjpeg", "w")
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "rgb24" if is_png else "yuvj420p"
        encoder.time_base = Fraction(1, 30)
        frame = av.VideoFrame.from_ndarray(image, "rgb24")
        if not is_png:
            frame = frame.reformat(format="yuvj420p", dst_color_range=2)
        (folder / name.format(number)).write_bytes(b"".join(bytes(packet) for packet in encoder.encode(frame)))
    return folder


def flip_bytes(path: Path, start: float, stop: float, count: int) -> Path:
    """Invert bytes at random places of a part of the file, given as fractions of its length."""
    content = bytearray(path.read_bytes())
    for place in np.random.default_rng(0).integers(int(start * len(content)), int(stop * len(content)), count):
        content[place] ^= 0xFF
    path.write_bytes(content)
    return path


def cut(path: Path, keep: float) -> Path:
    """Keep only the first part of the file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    return path


def write_changing(path: Path, sizes: Sequence[tuple[int, int]], count: int = 20, rate: int = 10) -> Path:
    """An MPEG-TS of one stream whose pictures have one size after the other, `count` frames each."""
    content = b""
    for number, (width, height) in enumerate(sizes):
        pts = range(number * count, (number + 1) * count)
        write(path, busy(count, width, height), rate=rate, pts=pts, container_format="mpegts", bf="0", g="10")
        content += path.read_bytes()
    path.write_bytes(content)
    return path
