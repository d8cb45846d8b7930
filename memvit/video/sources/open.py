"""Opening a video, whatever it is: a file, a URL, a camera, a folder of frames. Frames come with their times."""

from __future__ import annotations

import os
from pathlib import Path

from memvit.types import SourceError
from memvit.video.limits import DEFAULT_LIMITS, VideoLimits
from memvit.video.sources.local_file import is_folder
from memvit.video.sources.location import is_camera, is_url
from memvit.video.sources.source import Source

DECODER_THREADS = 8
"""Of a file. More gain little and hold a frame each; on fewer cores, too, they keep the decoder ahead."""
MAX_CONSECUTIVE_CORRUPT = 300
"""Ten seconds at 30 fps: a live stream joined just after a key frame may need that long until the next one."""


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
) -> Source:
    """Open a video and decode its first frame.

    Times start at 0.0: at the beginning of a file as a player shows it, at the first frame of a live source.

    Args:
        location: a file, a URL (http, https, rtsp, rtmp, hls, udp, tcp, srt …), a camera (`/dev/video0`), or a folder
            of numbered images such as AVA's `VIDEO_000001.jpg` or `img_00001.jpg`.
        from_seconds: leave out the frames before this time. A file is entered at the nearest key frame before it, so
            this costs little; the frames are those of a reading from the start. If none is left, the last one is
            given. Ignored by live sources.
        frames_per_second: rate of a folder of images; ignored elsewhere.
        start_seconds: presentation time of a folder's first image; ignored elsewhere.
        open_timeout_seconds: give up opening a URL, or a disk that does not answer, after this long.
        read_timeout_seconds: give up a URL that sends nothing for this long.
        max_consecutive_corrupt: give up after this many damaged packets (or images) with no good one between them.
        decoder_threads: of a file; by default 8. A live source is decoded by one.
        limits: a larger video is refused, before memory is taken for it.
        options: FFmpeg options for the format and protocol; they win over ours.

    Raises:
        SourceError: it cannot be opened, or holds no video, or nothing in it can be decoded, or it is too large.
    """
    text = os.fspath(location)
    if not text:
        raise SourceError("the location is empty; name a file, a URL, a camera or a folder of frames")
    if text.lower().startswith("file://"):
        text = text[len("file://") :]
    # Imported here: FFmpeg is loaded by the first video that is opened.
    if not (is_url(text) or is_camera(text)) and is_folder(Path(text), open_timeout_seconds):
        from memvit.video.sources.folder import FrameFolder

        return FrameFolder(
            Path(text),
            from_seconds=from_seconds,
            frames_per_second=frames_per_second,
            start_seconds=start_seconds,
            max_consecutive_corrupt=max_consecutive_corrupt,
            limits=limits,
        )
    from memvit.video.sources.pyav import StreamSource

    return StreamSource(
        text,
        from_seconds=from_seconds,
        open_timeout_seconds=open_timeout_seconds,
        read_timeout_seconds=read_timeout_seconds,
        max_consecutive_corrupt=max_consecutive_corrupt,
        decoder_threads=decoder_threads or DECODER_THREADS,
        limits=limits,
        options=options or {},
    )
