"""What every open video is: an iterator of frames with their times, whatever it reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Protocol

from memvit.types import Image


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
