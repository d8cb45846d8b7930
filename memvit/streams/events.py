"""The events of a stream besides its clips, and the counts of what has happened to it so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from memvit.streams.group import StreamEnded, StreamFailed, StreamOpened
from memvit.types import Clip
from memvit.video.sources.source import SourceInfo

State = Literal["connecting", "live", "stalled", "waiting", "ended", "failed", "stopped"]


@dataclass(frozen=True)
class StreamStalled:
    """The connection is open, but no frame has arrived for some time."""

    stream_id: str
    silent_seconds: float


@dataclass(frozen=True)
class StreamLost:
    """The connection broke, or could not be opened; another attempt follows."""

    stream_id: str
    reason: str
    """One sentence without credentials."""
    kind: str
    """The class of the reason, as in `SourceError.kind`; "ended" if the other side closed the stream."""
    retry_seconds: float
    """Seconds until the next attempt."""


@dataclass(frozen=True)
class SessionBegan:
    """A new session begins: the clips that follow are unrelated to those before, so the memory must be cleared."""

    stream_id: str
    session: int
    reason: str


ReaderEvent: TypeAlias = StreamOpened | Clip | StreamStalled | StreamLost | SessionBegan | StreamEnded | StreamFailed


@dataclass
class StreamStats:
    """Counts of what has happened to a stream. They never decrease."""

    connections: int = 0
    lost: int = 0
    """Connections that broke, and attempts to connect that failed."""
    stalls: int = 0
    sessions: int = 1
    frames: int = 0
    clips: int = 0
    """Clips that were passed on to the model."""
    late_clips: int = 0
    """Clips that were dropped because the model did not keep up."""
    thinned_track_frames: int = 0
    """Frames in which people were not looked for because the model did not keep up."""
    missed_clips: int = 0
    """All clips that are missing: late ones, and those in gaps of the stream."""
    frozen_clips: int = 0
    black_clips: int = 0
    clock_jumps: int = 0
    """Jumps of the source's clock that were corrected."""
    size_changes: int = 0
    abandoned_readers: int = 0
    """Connections that hung and were abandoned together with their thread."""
    corrupt_packets: int = 0
    non_monotonic_pts: int = 0
    missing_pts: int = 0


@dataclass(frozen=True)
class ReaderStatus:
    """The state of a stream at one moment."""

    state: State
    is_live: bool
    info: SourceInfo | None
    """None until the source was opened for the first time."""
    session: int
    last_failure: str | None
    position_seconds: float | None
    """Time of the last frame that arrived; None before the first."""
    silent_seconds: float
    """Seconds since the last frame arrived, or since the stream was started."""
    size: tuple[int, int] | None
    """(width, height) of the images that clips are cut from, for the model; None before the first frame."""
    stats: StreamStats
