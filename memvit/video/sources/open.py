"""Opening a video, whatever it is: a file, a URL, a camera, a folder of frames. Frames come with their times."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Protocol

from memvit.types import Image, SourceError
from memvit.video.limits import DEFAULT_LIMITS, VideoLimits
from memvit.video.sources.local_file import is_folder
from memvit.video.sources.location import is_camera, is_url, redact, source_name

__all__ = ["Frame", "ReadCounts", "Source", "SourceInfo", "open_source", "redact", "source_name"]

DECODER_THREADS = 8
"""Of a file. More gain little and hold a frame each; on fewer cores, too, they keep the decoder ahead."""
MAX_CONSECUTIVE_CORRUPT = 300
"""Ten seconds at 30 fps: a live stream joined just after a key frame may need that long until the next one."""


class Frame(Protocol):
    """A decoded frame; its pixels are converted only when `rgb` is called."""

    @property
    def pts_seconds(self) -> float:
        """Presentation time in seconds of the source; strictly increasing from frame to frame."""

    @property
    def index(self) -> int:
        """0, 1, 2, … in the order of delivery."""

    @property
    def width(self) -> int:
        """Pixels, upright."""

    @property
    def height(self) -> int:
        """Pixels, upright."""

    @property
    def received_at(self) -> float:
        """`time.monotonic()` when the data came that made this frame appear."""

    def rgb(self, width: int | None = None, height: int | None = None) -> Image:
        """The upright image, (height, width, 3) uint8, resized (bilinear) in the same pass.

        With one side given, the aspect ratio is kept; with none, the size is the source's. Works after the source
        was closed, and in any thread.
        """


@dataclass(frozen=True)
class SourceInfo:
    """What is known of a source once it is open."""

    name: str
    """Usable as a file name: a file's stem, a folder's name, a URL's host and path. Free of credentials."""
    width: int
    """Pixels, upright."""
    height: int
    """Pixels, upright."""
    frames_per_second: float | None
    """The average that the header or the first seconds tell; None if unknown. Times never rely on it."""
    duration_seconds: float | None
    """As the header has it; None where there is no end in sight."""
    total_frames: int | None
    """As the header has it, or from duration and rate; None where there is no end in sight."""
    is_live: bool
    """A camera, or a URL without a duration: its end is a disconnection."""


@dataclass
class ReadCounts:
    """What happened while reading. Prints as a note for people: empty when all was well."""

    frames: int = 0
    """Frames delivered."""
    corrupt_packets: int = 0
    """Packets that could not be read or decoded, or were marked as damaged."""
    corrupt_frames: int = 0
    """Frames delivered although parts of them were damaged and concealed."""
    corrupt_images: int = 0
    """Images of a folder that could not be decoded; the nearest good one stands in."""
    missing_images: int = 0
    """Gaps in the numbering of a folder."""
    missing_pts: int = 0
    """Frames without a time, placed one frame duration after the one before."""
    non_monotonic_pts: int = 0
    """Frames whose time was not later than the last one's: dropped or given a new time."""
    dropped_frames: int = 0
    """Of those, the dropped ones."""
    ended_seconds: float | None = None
    """When a file ended that is shorter than it declares: the rest of it is missing."""
    declared_seconds: float | None = None
    """The duration that such a file declares."""

    def __str__(self) -> str:
        counted = [
            field.name for field in fields(self) if field.name != "frames" and not field.name.endswith("seconds")
        ]
        notes = [f"{name.replace('_', ' ')}: {getattr(self, name)}" for name in counted if getattr(self, name)]
        if self.ended_seconds is not None:
            notes.append(
                f"truncated: ended at {self.ended_seconds:.1f} s of the declared {self.declared_seconds or 0:.1f} s"
            )
        return ", ".join(notes)


class Source(ABC):
    """An open video: a context manager, and an iterator of frames in presentation order.

    One thread at a time may iterate or close; frames, once delivered, may be used anywhere. A read that waits for the
    network ends by itself after the read time-out.
    """

    info: SourceInfo
    counts: ReadCounts

    def __iter__(self) -> Source:
        return self

    @abstractmethod
    def __next__(self) -> Frame:
        """The next frame. Raises SourceError if the source breaks off or nothing in it decodes any more."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file or connection. Safe to call twice."""

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


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
    # Imported here, so that whoever only names these types does not load FFmpeg.
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
