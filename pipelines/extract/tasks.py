"""Tasks and events: what the driver gives to its workers, and what they report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from memvit.video.limits import DEFAULT_LIMITS, VideoLimits

if TYPE_CHECKING:
    from memvit.store import Rows


@dataclass(frozen=True)
class ExtractOptions:
    """How videos are read, cut into segments and committed."""

    hop_seconds: float = 1.0
    batch: int = 1
    """Largest number of clips, each of another segment, in one call of the model."""
    commit_clips: int = 64
    """Number of clips of a segment between two commits; a kill loses at most so many of each open segment."""
    queue_clips: int = 2
    """Number of clips of a segment that are decoded ahead."""
    segment_seconds: float = 0.0
    """Longer videos are cut into segments of this length, which are processed in parallel; 0 cuts none."""
    track_rate: float = 0.0
    """How many times a second a detector looks for people between keyframes; 0 is at keyframes only."""
    frames_per_second: float = 30.0
    """Frame rate of a video that is a folder of frames."""
    start_seconds: float = 0.0
    """Time of the first frame of a folder of frames."""
    limits: VideoLimits = DEFAULT_LIMITS
    """Sizes above which a video is refused."""

    @property
    def slots(self) -> int:
        """Number of segments that a worker has open: one more than a batch, so that the next is decoded in time."""
        return self.batch + 1


@dataclass(frozen=True)
class ExtractTask:
    """One segment of one video."""

    video_id: str
    location: str
    segment: int
    first: int | None
    """Number of its first clip; None is the beginning of the video."""
    stop: int | None
    """Number of the clip after its last; None is the end of the video."""
    isolated: bool = False
    """Decode it in a process of its own, because an earlier job or a worker died while it had this segment open."""

    @property
    def key(self) -> str:
        """Unique name of the segment: VIDEO_ID/SEGMENT."""
        return f"{self.video_id}/{self.segment}"


@dataclass(frozen=True)
class ClipRange:
    """Numbers of the clips to read: from `first` to the one before `stop`."""

    first: int | None
    """None is the beginning of the video."""
    stop: int | None
    """None is the end of the video."""


@dataclass(frozen=True)
class Progressed:
    """The results of further clips of a segment are there."""

    key: str
    clips: int
    """Number of clips since the last event of this kind."""


@dataclass(frozen=True)
class SegmentDone:
    """All clips of a segment were processed."""

    key: str
    note: str
    """What was skipped or repaired while reading; empty if nothing was."""
    rows: Rows | None = None
    """All rows of a video that ended before its first commit; None if its rows are committed in the archive."""


@dataclass(frozen=True)
class SegmentFailed:
    """The video cannot be read or processed; trying again would not help."""

    key: str
    reason: str
    """One sentence for the user."""


@dataclass(frozen=True)
class SegmentLost:
    """The worker or decoder of a segment died; the segment can continue from its last commit."""

    key: str
    reason: str
    """How it died."""


@dataclass
class Timings:
    """How a worker spent its time, in seconds."""

    model: float = 0.0
    """Time in the model and in the box source."""
    commit: float = 0.0
    """Time to collect results and write them to the archive."""
    waiting: float = 0.0
    """Time without any decoded clip."""

    def __add__(self, other: Timings) -> Timings:
        return Timings(self.model + other.model, self.commit + other.commit, self.waiting + other.waiting)

    @property
    def busy(self) -> float:
        """Share of the time, from 0 to 1, that was spent in the model."""
        return self.model / max(self.model + self.commit + self.waiting, 1e-9)


TaskEvent: TypeAlias = Progressed | SegmentDone | SegmentFailed | SegmentLost
