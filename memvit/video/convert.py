"""From decoded frames to upright RGB images of the wanted size."""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
from av import VideoFrame
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.reformatter import Interpolation, VideoReformatter

from memvit.types import Image

SCALING = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT
"""Without full chroma interpolation, swscale's resizing paths come out two grey levels too dark."""


_OF_THREAD = threading.local()


class Orientation(NamedTuple):
    """How to bring a stored frame upright: transpose it first, then flip."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False


def orientation(frame: VideoFrame) -> Orientation:
    """What the display matrix of the frame asks for: any of the eight quarter turns and mirrorings."""
    # Not `frame.side_data`: that ties frame and container to each other, and every frame would wait, with its pixels,
    # for a full collection of garbage, which is rare in a process as large as torch.
    side_data = SideDataContainer(frame).get(Type.DISPLAYMATRIX)  # type: ignore[call-arg]
    if side_data is None:
        return Orientation()
    matrix = np.frombuffer(side_data, np.int32)
    if matrix.size < 5:
        return Orientation()
    # Column and row of a pixel (x, y) become (a x + c y, b x + d y).
    a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transpose=True, flip_rows=b < 0, flip_columns=c < 0)
    return Orientation(flip_rows=d < 0, flip_columns=a < 0)


def upright_size(frame: VideoFrame) -> tuple[int, int]:
    """(width, height) in pixels as the frame is meant to be seen. Pixels are taken as square."""
    width, height = frame.width, frame.height
    return (height, width) if orientation(frame).transpose else (width, height)


def wanted_size(size: tuple[int, int], width: int | None, height: int | None) -> tuple[int, int]:
    """(width, height) to convert to; a side that is not given keeps the aspect ratio of `size`."""
    if width is not None and height is not None:
        return width, height
    if width is not None:
        return width, max(1, round(width * size[1] / size[0]))
    if height is not None:
        return max(1, round(height * size[0] / size[1])), height
    return size


def to_rgb(frame: VideoFrame, width: int | None = None, height: int | None = None) -> Image:
    """The frame as an upright, contiguous (height, width, 3) uint8 RGB image, resized in the same pass.

    Matrix and range are those the frame is tagged with; untagged video is read as BT.601, limited range, which is
    what FFmpeg does and what frames extracted with it look like.
    """
    turn = orientation(frame)
    width, height = wanted_size(upright_size(frame), width, height)
    if turn.transpose:
        width, height = height, width
    converted = _shrunk_or_converted(frame, width, height)
    image: Image = np.asarray(converted.to_ndarray(), dtype=np.uint8)
    if turn.transpose:
        image = image.transpose(1, 0, 2)
    if turn.flip_rows:
        image = image[::-1]
    if turn.flip_columns:
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _shrunk_or_converted(frame: VideoFrame, width: int, height: int) -> VideoFrame:
    """RGB of the wanted size.

    Shrinking the three planes first, each from its own size, and making RGB of fewer pixels takes half the time of
    swscale's way in one pass, and comes as near to resizing in RGB.
    """
    shrink, convert = _reformatters()
    is_yuv = not frame.format.is_rgb and len(frame.format.components) >= 3
    if is_yuv and width < frame.width and height < frame.height:
        frame = shrink.reformat(
            frame, width=width, height=height, format="yuv444p", interpolation=Interpolation.BILINEAR, threads=1
        )
    # One thread each: streams run side by side, and at these sizes handing out slices costs more than it gains.
    return convert.reformat(frame, width=width, height=height, format="rgb24", interpolation=SCALING, threads=1)


def _reformatters() -> tuple[VideoReformatter, VideoReformatter]:
    """Of this thread: they keep their tables from frame to frame, and must not be shared."""
    if not hasattr(_OF_THREAD, "reformatters"):
        _OF_THREAD.reformatters = VideoReformatter(), VideoReformatter()
    found: tuple[VideoReformatter, VideoReformatter] = _OF_THREAD.reformatters
    return found
