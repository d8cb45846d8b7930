"""Puts packets into an MP4 as they are, without encoding them again."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av import Packet, VideoStream
from av.error import FFmpegError

from .cut import Piece

BROWSER_CODECS = frozenset({"h264", "hevc", "av1", "vp9"})
"""What browsers play in an MP4 (HEVC: where the machine can decode it). Events of other streams have a picture only."""
TIME_BASE = Fraction(1, 90_000)


def write_mp4(path: Path, pieces: Sequence[Piece], title: str, about: dict[str, Any]) -> None:
    """Write pieces of one format. The first frame is shown at 0, and gaps keep their length. `about` becomes the file's
    comment, as JSON. OSError if the disk takes no more; ValueError if these packets cannot be put into an MP4.
    """
    try:
        with av.open(f"file:{path}", "w", format="mp4", options={"movflags": "+faststart"}) as container:
            container.metadata.update({"title": title, "comment": json.dumps(about, ensure_ascii=False)})
            _mux(container, pieces)
    except OSError:
        raise
    except (FFmpegError, ValueError) as error:
        with suppress(OSError):
            path.unlink()
        raise ValueError(f"these packets cannot be put into an MP4 ({error})") from error
    with path.open("rb") as file:
        os.fsync(file.fileno())


def read_about(path: Path) -> dict[str, Any] | None:
    """What `write_mp4` wrote about a file; None if it is no whole file of ours."""
    try:
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            about = json.loads(container.metadata["comment"])
    except (FFmpegError, OSError, ValueError, KeyError):
        return None
    return about if isinstance(about, dict) else None


def template_of(header: bytes) -> av.container.InputContainer:
    """A container whose only stream has the parameters of `PacketFormat.header`; to be closed."""
    return av.open(io.BytesIO(header), "r", format="nut")


def _mux(container: av.container.OutputContainer, pieces: Sequence[Piece]) -> None:
    segment = pieces[0].segment
    with template_of(segment.format.header) as template:
        stream = container.add_stream_from_template(template.streams.video[0], opaque=True)
        stream.time_base = TIME_BASE
        if segment.format.codec == "hevc":
            stream.codec_context.codec_tag = "hvc1"  # Apple's players take no other
        if segment.display_matrix is not None:
            stream.set_display_matrix(segment.display_matrix)
        began = pieces[0].first_seconds
        last_dts: int | None = None
        for piece in pieces:
            scale = piece.segment.format.time_base / TIME_BASE
            for packet, data in zip(piece.packets, piece.segment.read(piece.packets), strict=True):
                pts = round((packet.seconds - began) / TIME_BASE)
                dts = pts - round((packet.pts - packet.dts) * scale)
                dts = dts if last_dts is None else max(dts, last_dts + 1)
                pts, last_dts = max(pts, dts), dts
                duration = round(packet.duration * scale)
                _mux_one(container, stream, data, (pts, dts, duration), packet.is_keyframe)


def _mux_one(
    container: av.container.OutputContainer,
    stream: VideoStream,
    data: bytes,
    times: tuple[int, int, int],
    is_keyframe: bool,
) -> None:
    packet = Packet(data)
    packet.stream, packet.time_base, packet.is_keyframe = stream, TIME_BASE, is_keyframe
    packet.pts, packet.dts, packet.duration = times
    container.mux(packet)
