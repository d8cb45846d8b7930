"""Opens a video of any kind: a file, a URL, a camera, or a folder of frames."""

from __future__ import annotations

import os
from pathlib import Path

from memvit.types import SourceError
from memvit.video.limits import DEFAULT_LIMITS, VideoLimits
from memvit.video.packets import PacketSink
from memvit.video.sources.folder import FrameFolder
from memvit.video.sources.local_file import is_folder
from memvit.video.sources.location import is_camera, is_url
from memvit.video.sources.pyav import StreamSource
from memvit.video.sources.source import Source

DECODER_THREADS = 8
"""Threads that decode one file by default. More gain little, and each holds a decoded frame. On a machine with fewer
cores this number still keeps the decoder ahead of its reader."""
MAX_CONSECUTIVE_CORRUPT = 300
"""Ten seconds at 30 fps. A live stream that is joined just after a key frame may need that long until the next one."""


def open_source(
    location: str | Path,
    *,
    from_seconds: float = 0.0,
    frames_per_second: float = 30.0,
    start_seconds: float = 0.0,
    open_timeout_seconds: float = 10.0,
    read_timeout_seconds: float = 10.0,
    max_consecutive_corrupt: int = MAX_CONSECUTIVE_CORRUPT,
    decoder_threads: int | None = None,
    limits: VideoLimits = DEFAULT_LIMITS,
    options: dict[str, str] | None = None,
    packets: PacketSink | None = None,
) -> Source:
    """Open a video and decode its first frame.

    Times start at 0.0: at the beginning of a file as a player shows it, at the first frame of a live source.

    Args:
        location: A file, a URL (http, https, rtsp, rtmp, hls, udp, tcp, srt …), a camera (`/dev/video0`), or a folder
            of numbered images such as AVA's `VIDEO_000001.jpg` or `img_00001.jpg`.
        from_seconds: Leave out the frames before this time. Decoding starts at the nearest key frame before it, so
            this costs little, and the frames are those of a reading from the start. If no frame is left, the last one
            is given. Live sources ignore it.
        frames_per_second: Rate of a folder of images; other sources ignore it.
        start_seconds: Presentation time of a folder's first image; other sources ignore it.
        open_timeout_seconds: Fail if a URL, or a disk that does not answer, is not open after this long.
        read_timeout_seconds: Fail if a URL sends nothing for this long.
        max_consecutive_corrupt: Fail after this many damaged packets (or images) with no good one between them.
        decoder_threads: Threads that decode a file, by default 8. One thread decodes a live source.
        limits: A larger video is refused before memory is allocated for it.
        options: FFmpeg options for the format and protocol. They take precedence over those that this function sets.
        packets: Gets every packet before it is decoded; not those of a folder or an AVI.

    Raises:
        SourceError: It cannot be opened, holds no video, nothing in it can be decoded, or it is too large.
    """
    text = os.fspath(location)
    if not text:
        raise SourceError("the location is empty; name a file, a URL, a camera or a folder of frames")
    if text.lower().startswith("file://"):
        text = text[len("file://") :]
    if not (is_url(text) or is_camera(text)) and is_folder(Path(text), open_timeout_seconds):
        return FrameFolder(
            Path(text),
            from_seconds=from_seconds,
            frames_per_second=frames_per_second,
            start_seconds=start_seconds,
            max_consecutive_corrupt=max_consecutive_corrupt,
            limits=limits,
        )
    return StreamSource(
        text,
        from_seconds=from_seconds,
        open_timeout_seconds=open_timeout_seconds,
        read_timeout_seconds=read_timeout_seconds,
        max_consecutive_corrupt=max_consecutive_corrupt,
        decoder_threads=decoder_threads or DECODER_THREADS,
        limits=limits,
        options=options or {},
        packets=packets,
    )
