"""What a live stream tells besides its clips, and what has happened to it so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from memvit.streams.group import StreamEnded, StreamFailed, StreamOpened
from memvit.types import Clip
from memvit.video.sources.source import SourceInfo

State = Literal["connecting", "live", "stalled", "waiting", "ended", "failed", "stopped"]


@dataclass(frozen=True)
class StreamStalled:
    """The connection stands, but nothing comes."""

    stream_id: str
    silent_seconds: float


@dataclass(frozen=True)
class StreamLost:
    """The connection is gone, or was not to be had; another attempt follows."""

    stream_id: str
    reason: str
    """One sentence, free of credentials."""
    kind: str
    """A class of reasons, see `SourceError.kind`."""
    retry_seconds: float


@dataclass(frozen=True)
class SessionBegan:
    """What comes now has nothing to do with what was: the stream's memory is to be forgotten."""

    stream_id: str
    session: int
    reason: str


ReaderEvent: TypeAlias = StreamOpened | Clip | StreamStalled | StreamLost | SessionBegan | StreamEnded | StreamFailed


@dataclass
class StreamStats:
    """What has happened to a stream; every number only grows."""

    connections: int = 0
    lost: int = 0
    """Connections that broke, and attempts in vain."""
    stalls: int = 0
    sessions: int = 1
    frames: int = 0
    clips: int = 0
    """Handed out."""
    late_clips: int = 0
    """Left out because the model did not keep up."""
    missed_clips: int = 0
    """All that were left out, late ones and those in gaps."""
    frozen_clips: int = 0
    black_clips: int = 0
    clock_jumps: int = 0
    """Times that leapt ahead of the clock and were brought back."""
    size_changes: int = 0
    abandoned_readers: int = 0
    """Connections that hung and were left behind."""
    corrupt_packets: int = 0
    non_monotonic_pts: int = 0
    missing_pts: int = 0


@dataclass(frozen=True)
class ReaderStatus:
    """How a stream is at a moment."""

    state: State
    is_live: bool
    info: SourceInfo | None
    """None until it was opened."""
    session: int
    last_failure: str | None
    position_seconds: float | None
    """Time of the last frame that came; None before the first."""
    silent_seconds: float
    """Since then."""
    size: tuple[int, int] | None
    """(width, height) of the images that clips are cut from, for the model; None before the first frame."""
    stats: StreamStats
