"""Where events are recorded, how long their videos are, and how much is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MIN_FREE_BYTES = 500 * 10**6
"""Recording stops while the disk has less room than this, so that state, history and outbox can still be written."""


@dataclass(frozen=True)
class RecordOptions:
    """What is recorded of each event."""

    folder: Path
    before_seconds: float = 5.0
    """Seconds of video before the centre of the event's first clip; a little more, since a video begins with a key
    frame."""
    after_seconds: float = 5.0
    """Seconds of video after the centre of the event's last clip."""
    max_seconds: float = 300.0
    """A longer event is recorded up to here; its video is finished then."""
    days: float = 30.0
    """Recordings of events that are older are deleted."""
    gigabytes: float = 10.0
    """Recordings take at most so many gigabytes (10^9 bytes); the oldest are deleted first."""
    buffer_seconds: float = 120.0
    """Packets of each stream that are held in memory, at most so many seconds: an event is known only some time after
    its start."""
    buffer_megabytes: float = 32.0
    """And at most so many megabytes (10^6 bytes) of each stream."""
    min_free_bytes: int = MIN_FREE_BYTES

    @property
    def buffer_bytes(self) -> int:
        """`buffer_megabytes` in bytes."""
        return round(self.buffer_megabytes * 1e6)
