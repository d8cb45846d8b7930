"""What to do with a stream that is late, silent, or gone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

Overflow = Literal["auto", "drop", "wait"]


@dataclass(frozen=True)
class LivePolicy:
    """Of one stream; the defaults suit a camera."""

    overflow: Overflow = "auto"
    """`drop` skips to the newest clip when clips wait too long, `wait` makes the source wait and answers every clip;
    `auto` is drop for live sources and wait for files."""
    max_age_seconds: float = 2.0
    """With `drop`: once a clip has waited this long, those before the newest are left out."""
    queue_clips: int = 8
    """Clips that may wait with `drop`: a burst (an HLS segment) of so many seconds at a hop of 1 s is kept."""
    stall_seconds: float = 5.0
    """No frame for this long, and the stream is said to be stalled."""
    open_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 10.0
    """No data for this long, and the connection is closed."""
    hang_seconds: float = 5.0
    """FFmpeg's own time-outs do not cover everything: a reader that overstays them by this long is left behind."""
    retry_seconds: float = 1.0
    """Before the first new attempt; doubled from attempt to attempt."""
    max_retry_seconds: float = 60.0
    memory_timeout_seconds: float = 30.0
    """A stream that comes back within this time remembers what was before the gap; otherwise it starts afresh."""
    fail_after_seconds: float | None = None
    """A stream that cannot be read for this long has failed; None tries for ever."""

    def __post_init__(self) -> None:
        if self.overflow not in ("auto", "drop", "wait"):
            raise ValueError(f"overflow must be auto, drop or wait, got {self.overflow!r}")
        if self.queue_clips < 1:
            raise ValueError(f"queue_clips must be at least 1, got {self.queue_clips}")

    def retry_after(self, attempts: int, rng: random.Random) -> float:
        """Seconds to wait after so many attempts in vain; not all streams of a broken network at the same time."""
        return min(self.retry_seconds * 2.0 ** min(attempts, 30), self.max_retry_seconds) * rng.uniform(0.8, 1.2)
