"""The best moment of an event as a JPEG, with the person's box and the action."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from av import Packet, VideoFrame
from av.error import FFmpegError
from PIL import Image

from memvit.events.event import Event
from memvit.results.annotate import draw_box, draw_patch
from memvit.results.colours import person_colour
from memvit.results.label import Line, draw_label
from memvit.results.text import font_size
from memvit.types import NO_PERSON
from memvit.types import Image as Pixels
from memvit.video.convert import display_matrix, orientation_of, to_rgb, upright, upright_size
from memvit.video.limits import VideoLimits

from .cut import Piece
from .mp4 import template_of
from .segment import Segment, StoredPacket

QUALITY = 88
MAX_SIDE = 1920
"""Larger pictures are made smaller."""


def frame_at(pieces: Sequence[Piece], seconds: float, limits: VideoLimits) -> Pixels | None:
    """The upright frame that is shown nearest to this time; None if it cannot be decoded. OSError if the packets cannot
    be read.
    """
    piece = next((piece for piece in reversed(pieces) if piece.first_seconds <= seconds), None)
    if piece is None:
        return None
    keys = [place for place, packet in enumerate(piece.packets) if packet.is_keyframe and packet.seconds <= seconds]
    packets = piece.packets[keys[-1] :]
    shown = {packet.pts: packet.seconds for packet in packets}
    nearest: tuple[float, VideoFrame] | None = None
    for frame in _decoded(piece.segment, packets, limits):
        distance = abs(shown.get(cast("int", frame.pts), float("inf")) - seconds)
        if nearest is not None and distance > nearest[0]:
            break
        nearest = distance, frame
    if nearest is None:
        return None
    frame = nearest[1]
    scale = min(1.0, MAX_SIDE / max(frame.width, frame.height))
    width, height = upright_size(frame)
    image = to_rgb(frame, max(1, round(width * scale)), max(1, round(height * scale)))
    is_turned = display_matrix(frame) is not None  # the packets themselves say so
    return image if is_turned else upright(image, orientation_of(piece.segment.display_matrix))


def _decoded(segment: Segment, packets: Sequence[StoredPacket], limits: VideoLimits) -> Iterator[VideoFrame]:
    """Frames in the order in which they are shown, until one cannot be decoded."""
    try:
        with template_of(segment.format.header) as template:
            stream = template.streams.video[0]
            stream.codec_context.options = {"max_pixels": str(limits.pixels)}
            stream.codec_context.thread_count = 1
            for packet, data in zip(packets, segment.read(packets), strict=True):
                made = Packet(data)
                made.time_base, made.pts, made.dts = segment.format.time_base, packet.pts, packet.dts
                yield from stream.codec_context.decode(made)
            yield from stream.codec_context.decode(None)
    except FFmpegError:
        return


def write_picture(path: Path, image: Pixels, event: Event, about: dict[str, Any]) -> None:
    """Write the picture with the box; `about` becomes the file's comment, as JSON. OSError if it cannot be written."""
    with path.open("wb") as file:
        drawn = Image.fromarray(_drawn(image, event))
        drawn.save(file, "JPEG", quality=QUALITY, comment=json.dumps(about, ensure_ascii=False).encode())
        file.flush()
        os.fsync(file.fileno())


def read_picture_about(path: Path) -> dict[str, Any] | None:
    """What `write_picture` wrote about a file; None if it is no whole file of ours."""
    try:
        with Image.open(path) as image:
            image.verify()
            about = json.loads(image.info["comment"])
    except (OSError, ValueError, KeyError, SyntaxError):
        return None
    return about if isinstance(about, dict) else None


def _drawn(image: Pixels, event: Event) -> Pixels:
    """The picture with the box of the person, and the number and action beside it."""
    image = image.copy()
    height, width, _ = image.shape
    size = font_size(width, height)
    number = NO_PERSON if event.person is None else event.person
    colour = person_colour(number)
    box = np.array(event.peak_box or (0.0, 0.0, 1.0, 1.0), np.float64).clip(0, 1) * (width, height, width, height)
    if event.peak_box is not None:
        draw_box(image, box, colour, max(2, round(size / 6)))
    line = Line(event.action or event.rule, event.peak_score)
    label = draw_label(event.person, colour, (line,), size, round(0.6 * width))
    above = round(box[1]) - label.shape[0]
    draw_patch(image, label, min(round(box[0]), width - label.shape[1]), above if above >= 0 else round(box[1]))
    return image
