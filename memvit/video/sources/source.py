"""What every source of frames offers: the frames themselves, what is known of the video, and what reading it met.

This module imports neither FFmpeg nor any kind of source, so anything may import it for its types.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Protocol

from memvit.types import Image

SAME_SECONDS = 1e-6
"""Two times in seconds that differ by less than this are the same instant: the difference is rounding."""


class Frame(Protocol):
    """A decoded frame. Its pixels are converted to RGB only when `rgb` is called."""

    @property
    def pts_seconds(self) -> float:
        """Presentation time in seconds of the source. It strictly increases from frame to frame."""

    @property
    def index(self) -> int:
        """0, 1, 2, … in the order of delivery."""

    @property
    def width(self) -> int:
        """Width in pixels of the upright image."""

    @property
    def height(self) -> int:
        """Height in pixels of the upright image."""

    @property
    def received_at(self) -> float:
        """`time.monotonic()` when the data arrived from which this frame was decoded."""

    @property
    def container_seconds(self) -> float | None:
        """The time that the frame's packet has in its container; None for a source without packets."""

    @property
    def captured_unix(self) -> float | None:
        """Unix time at which the frame was taken, where the container tells it."""

    def rgb(self, width: int | None = None, height: int | None = None) -> Image:
        """The upright image, (height, width, 3) uint8, resized (bilinear) in the same pass.

        With one side given, the aspect ratio is kept; with none, the image has the size of the source. This works
        after the source was closed, and in any thread.
        """


@dataclass(frozen=True)
class SourceInfo:
    """What is known of a source once it is open."""

    name: str
    """A name that can be used as a file name and holds no credentials: a file's stem, a folder's name, or the host and
    path of a URL."""
    width: int
    """Width in pixels of the upright image."""
    height: int
    """Height in pixels of the upright image."""
    frames_per_second: float | None
    """The average rate that the header or the first seconds tell, or None if it is unknown. Frame times never depend
    on it."""
    duration_seconds: float | None
    """The duration that the header declares, or None if the source has no known end."""
    total_frames: int | None
    """The number of frames that the header declares, else duration × rate; None if the source has no known end."""
    is_live: bool
    """Whether this is a camera, or a URL without a duration. Such a source ends when the connection ends."""


@dataclass
class ReadCounts:
    """Counts of what went wrong while reading. `str()` gives a note for people, which is empty if nothing did."""

    frames: int = 0
    """Frames delivered."""
    corrupt_packets: int = 0
    """Packets that could not be read or decoded, or that the container marks as damaged."""
    corrupt_frames: int = 0
    """Frames delivered although parts of them were damaged and concealed by the decoder."""
    corrupt_images: int = 0
    """Images of a folder that could not be decoded and were replaced by the nearest image that could."""
    missing_images: int = 0
    """Numbers that are missing between the first and the last image of a folder."""
    missing_pts: int = 0
    """Frames without a time, which were placed one frame duration after the frame before."""
    non_monotonic_pts: int = 0
    """Frames whose time was not later than that of the frame before; they were dropped or given a new time."""
    dropped_frames: int = 0
    """How many of the frames in `non_monotonic_pts` were dropped."""
    ended_seconds: float | None = None
    """The time at which a file ended that is shorter than it declares; None for any other source."""
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
    """An open video. It is a context manager and an iterator of frames in presentation order.

    Only one thread at a time may iterate or close it; delivered frames may be used in any thread. A read that waits
    for the network ends by itself after the read time-out.
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
        """Release the file or the connection. A second call does nothing."""

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
