"""What is to be done, and what became of it: the words that driver, workers and progress share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from memvit.video.limits import DEFAULT_LIMITS, VideoLimits

if TYPE_CHECKING:
    from memvit.store import Rows


@dataclass(frozen=True)
class ExtractOptions:
    """How videos are read and cut."""

    hop_seconds: float = 1.0
    batch: int = 1
    """Clips of different videos that the model sees at once."""
    commit_clips: int = 64
    """Clips of a segment from commit to commit: what a kill can cost."""
    queue_clips: int = 2
    """Clips of a video that are decoded ahead."""
    segment_seconds: float = 0.0
    """Longer videos are cut into segments of this length that are worked on apart; 0 cuts none."""
    frames_per_second: float = 30.0
    """Of a folder of frames."""
    start_seconds: float = 0.0
    """Of a folder's first frame."""
    limits: VideoLimits = DEFAULT_LIMITS

    @property
    def slots(self) -> int:
        """Videos that a worker has open at once: one more than a batch, so that the next is decoded in time."""
        return self.batch + 1


@dataclass(frozen=True)
class ExtractTask:
    """One segment of one video."""

    video_id: str
    location: str
    segment: int
    first: int | None
    """Number of its first clip; None is the beginning."""
    stop: int | None
    """Number of the clip after its last; None is the end."""
    isolated: bool = False
    """Decode it in a process of its own: an earlier job, or a worker, died while it was at hand."""

    @property
    def key(self) -> str:
        """Unlike any other's."""
        return f"{self.video_id}/{self.segment}"


@dataclass(frozen=True)
class ClipRange:
    """Numbers of the clips to read; None is the beginning or end of the video."""

    first: int | None
    stop: int | None


@dataclass(frozen=True)
class Progressed:
    """Clips were answered."""

    key: str
    clips: int
    """Newly."""


@dataclass(frozen=True)
class SegmentDone:
    """A segment is committed to its end."""

    key: str
    note: str
    """What was skipped or mended while reading."""
    rows: Rows | None = None
    """All of a video that ended before its first commit: it needs no parts."""


@dataclass(frozen=True)
class SegmentFailed:
    """The video cannot be read or answered for; trying again would not help."""

    key: str
    reason: str


@dataclass(frozen=True)
class SegmentLost:
    """Whoever worked on it died; it goes on from its last commit."""

    key: str
    reason: str


@dataclass
class Timings:
    """Where the time of a worker went, in seconds."""

    model: float = 0.0
    commit: float = 0.0
    waiting: float = 0.0
    """For decoded clips."""

    def __add__(self, other: Timings) -> Timings:
        return Timings(self.model + other.model, self.commit + other.commit, self.waiting + other.waiting)

    @property
    def busy(self) -> float:
        """Share of the time in which the model was at work."""
        return self.model / max(self.model + self.commit + self.waiting, 1e-9)


TaskEvent: TypeAlias = Progressed | SegmentDone | SegmentFailed | SegmentLost
