"""Converts decoded frames to upright RGB images of the wanted size."""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
from av import VideoFrame
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.reformatter import Interpolation, VideoReformatter

from memvit.types import Image

SCALING = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT
"""Without full chroma interpolation, images that swscale resizes are two grey levels too dark."""
_THREAD_LOCAL = threading.local()


class Orientation(NamedTuple):
    """How to turn a stored frame upright: first transpose it, then flip it."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False


def display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    """The numbers of the frame's display matrix, if it has one."""
    # `frame.side_data` is not used, because it creates a reference cycle: every frame, with its pixels, would stay in
    # memory until a full garbage collection, which is rare in a process that has loaded torch.
    side_data = SideDataContainer(frame).get(Type.DISPLAYMATRIX)  # type: ignore[call-arg]
    return None if side_data is None else tuple(np.frombuffer(side_data, np.int32).tolist())


def orientation(frame: VideoFrame) -> Orientation:
    """The orientation that the frame's display matrix asks for."""
    return orientation_of(display_matrix(frame))


def orientation_of(matrix: tuple[int, ...] | None) -> Orientation:
    """The orientation that a display matrix asks for: one of the eight quarter turns and mirror images."""
    if matrix is None or len(matrix) < 5:
        return Orientation()
    # The matrix maps a pixel (x, y) to (a x + c y, b x + d y).
    a, b, c, d = (matrix[i] for i in (0, 1, 3, 4))
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transpose=True, flip_rows=b < 0, flip_columns=c < 0)
    return Orientation(flip_rows=d < 0, flip_columns=a < 0)


def upright_size(frame: VideoFrame) -> tuple[int, int]:
    """(width, height) in pixels of the upright frame. Pixels are assumed to be square."""
    width, height = frame.width, frame.height
    return (height, width) if orientation(frame).transpose else (width, height)


def wanted_size(size: tuple[int, int], width: int | None, height: int | None) -> tuple[int, int]:
    """The (width, height) in pixels to convert to. A side that is None follows from the aspect ratio of `size`."""
    if width is not None and height is not None:
        return width, height
    if width is not None:
        return width, max(1, round(width * size[1] / size[0]))
    if height is not None:
        return max(1, round(height * size[0] / size[1])), height
    return size


def to_rgb(frame: VideoFrame, width: int | None = None, height: int | None = None) -> Image:
    """The frame as an upright, contiguous (height, width, 3) uint8 RGB image, resized in the same pass.

    Colour matrix and range are those of the frame's tags. Video without tags is read as BT.601, limited range, as
    FFmpeg does when it extracts frames.
    """
    turn = orientation(frame)
    width, height = wanted_size(upright_size(frame), width, height)
    if turn.transpose:
        width, height = height, width
    converted = _shrunk_or_converted(frame, width, height)
    return upright(np.asarray(converted.to_ndarray(), dtype=np.uint8), turn)


def upright(image: Image, turn: Orientation) -> Image:
    """The image, (height, width, 3), turned upright; contiguous."""
    if turn.transpose:
        image = image.transpose(1, 0, 2)
    if turn.flip_rows:
        image = image[::-1]
    if turn.flip_columns:
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _shrunk_or_converted(frame: VideoFrame, width: int, height: int) -> VideoFrame:
    """The frame as RGB in the wanted size, not yet turned upright.

    Shrinking the three YUV planes first and converting fewer pixels to RGB takes half the time of doing both in one
    pass of swscale, and is as close to resizing in RGB.
    """
    shrink, convert = _reformatters()
    is_yuv = not frame.format.is_rgb and len(frame.format.components) >= 3
    if is_yuv and width < frame.width and height < frame.height:
        frame = shrink.reformat(
            frame, width=width, height=height, format="yuv444p", interpolation=Interpolation.BILINEAR, threads=1
        )
    # One thread is enough: streams are converted in parallel, and slices of such small images cost more than they gain.
    return convert.reformat(frame, width=width, height=height, format="rgb24", interpolation=SCALING, threads=1)


def _reformatters() -> tuple[VideoReformatter, VideoReformatter]:
    """This thread's reformatters to shrink and to convert. They cache tables, and threads must not share them."""
    if not hasattr(_THREAD_LOCAL, "reformatters"):
        _THREAD_LOCAL.reformatters = VideoReformatter(), VideoReformatter()
    found: tuple[VideoReformatter, VideoReformatter] = _THREAD_LOCAL.reformatters
    return found
