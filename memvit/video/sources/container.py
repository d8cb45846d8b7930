"""Opens a container with FFmpeg, chooses its video stream, prepares the decoder, and seeks."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import av
from av import Packet, VideoStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Discard, Disposition

from memvit.types import SourceError
from memvit.video.sources.errors import why_not_opened
from memvit.video.sources.location import is_camera, is_url
from memvit.video.sources.protocols import ffmpeg_options

SEEK_MARGIN_SECONDS = 0.5
"""A seek aims this much earlier, because containers are entered by decoding time, which is a few frames off."""
DECLARING_FORMATS = {"mov", "matroska", "avi", "flv", "asf", "mxf"}
"""FFmpeg's names of formats whose header declares a duration. For other formats FFmpeg derives it from the data."""


def open_container(
    location: str, open_timeout_seconds: float, read_timeout_seconds: float, options: dict[str, str]
) -> InputContainer:
    """Open a file, URL or camera. SourceError, without credentials, if that fails."""
    # "file:" keeps FFmpeg from reading a colon in a file's name as a protocol.
    target = location if is_url(location) or is_camera(location) else f"file:{Path(location)}"
    defaults = {"rtsp_transport": "tcp"} if location.lower().startswith("rtsp") else {}
    started = time.monotonic()
    try:
        return av.open(
            target,
            "r",
            format="v4l2" if is_camera(location) else None,
            options=defaults | ffmpeg_options(location) | options,
            timeout=(open_timeout_seconds, read_timeout_seconds),
            metadata_errors="replace",
        )
    except (FFmpegError, ValueError) as error:
        why = why_not_opened(error, location, time.monotonic() - started, open_timeout_seconds)
        message = str(why), why.kind
    # Raised outside the handler, because FFmpeg's error contains the location with its password.
    raise SourceError(*message)


def choose_stream(container: InputContainer, shown: str) -> VideoStream:
    """The video stream that FFmpeg finds best, but never a cover picture. SourceError if there is none.

    `shown` names the video in the error.
    """
    pictures = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & pictures]
    if not len(container.streams):
        raise SourceError(f"{shown}: there is no track in it; check that the file is complete")
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams}))
        raise SourceError(f"{shown}: there is no video in it (found: {kinds}); name a file or stream with video")
    best = container.streams.best("video")
    stream = next((stream for stream in streams if best is not None and stream.index == best.index), streams[0])
    if getattr(stream, "codec_context", None) is None:
        raise SourceError(f"{shown}: FFmpeg has no decoder for this video; convert it, for example to H.264")
    return stream


def prepare_decoder(container: InputContainer, stream: VideoStream, *, is_live: bool, threads: int) -> None:
    """Discard all other streams, and set the number of decoder threads."""
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all
    # Frame threads decode a file faster, but delay as many frames as there are threads. Live video cannot wait for
    # those, and there are usually several live streams to keep the cores busy.
    stream.codec_context.thread_type = "SLICE" if is_live else "AUTO"
    stream.codec_context.thread_count = 1 if is_live else threads


def average_rate(stream: VideoStream) -> float | None:
    """Frames per second on average, or None if the header tells no rate or an absurd one."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0.01 <= rate <= 1000:
            return float(rate)
    return None


def container_start_seconds(container: InputContainer) -> float | None:
    """The container time that a player shows as 0, or None for a container without any times."""
    start = cast("int | None", container.start_time)
    return None if start is None else start / av.time_base


def declared_duration_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    """The duration that a header declares for the video stream, or None if the format's header declares none."""
    if not set(container.format.name.split(",")) & DECLARING_FORMATS:
        return None
    seconds = [] if container.duration is None else [container.duration / av.time_base]
    if stream.duration is not None and stream.time_base is not None:
        seconds.append(float(stream.duration * stream.time_base))
    return min(seconds, default=None)


def packets_from(
    container: InputContainer, stream: VideoStream, seconds: float, origin_seconds: float
) -> Iterator[Packet[VideoStream]]:
    """Packets from a key frame at or before `seconds`, or from the start of a file that cannot be entered there.

    `origin_seconds` is the container time of the video's time 0.
    """
    try:
        container.seek(int((seconds + origin_seconds - SEEK_MARGIN_SECONDS) * av.time_base), backward=True)
        first = next((packet for packet in container.demux(stream) if packet.pts is not None), None)
        time_base = stream.time_base
        if first is not None and first.pts is not None and time_base is not None and first.is_keyframe:
            is_early_enough = float(first.pts * time_base) - origin_seconds <= seconds
            if is_early_enough:
                return itertools.chain([first], container.demux(stream))
    except FFmpegError:
        pass
    container.seek(container.start_time or 0, backward=True)
    return container.demux(stream)
