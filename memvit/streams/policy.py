"""What to do if a stream is late, silent or interrupted."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

Overflow = Literal["auto", "drop", "wait"]


@dataclass(frozen=True)
class LivePolicy:
    """The policy of one stream. The defaults suit a camera."""

    overflow: Overflow = "auto"
    """What to do if clips arrive faster than the model runs: `drop` skips to the newest clip if clips wait too long;
    `wait` makes the source wait, so that every clip has a result; `auto` drops for live sources and waits for files."""
    max_age_seconds: float = 2.0
    """With `drop`: if the oldest clip has waited this long, all clips but the newest are dropped."""
    queue_clips: int = 8
    """With `drop`: the largest number of clips that wait. At a hop of 1 s, an HLS segment of 8 s loses none."""
    stall_seconds: float = 5.0
    """If no frame arrives for this long, `StreamStalled` is reported."""
    open_timeout_seconds: float = 10.0
    """If a source has not opened after this time, the attempt has failed."""
    read_timeout_seconds: float = 10.0
    """If no data arrives for this long, the connection is closed."""
    hang_seconds: float = 5.0
    """FFmpeg's own time-outs do not cover every case. A reader that exceeds them by this time is abandoned."""
    retry_seconds: float = 1.0
    """Seconds before the first new attempt; they double with every failed attempt."""
    max_retry_seconds: float = 60.0
    """The largest number of seconds between two attempts."""
    memory_timeout_seconds: float = 30.0
    """A stream that is back within this time keeps its memory; after a longer gap, its memory starts empty."""
    fail_after_seconds: float | None = None
    """A stream that cannot be read for this long has failed; with None, attempts never end."""

    def __post_init__(self) -> None:
        if self.overflow not in ("auto", "drop", "wait"):
            raise ValueError(f"overflow must be auto, drop or wait, got {self.overflow!r}")
        if self.queue_clips < 1:
            raise ValueError(f"queue_clips must be at least 1, got {self.queue_clips}")

    def retry_after(self, attempts: int, rng: random.Random) -> float:
        """Seconds to wait after this many failed attempts, varied by 20 % so that the streams of a network do not all
        reconnect at the same moment."""
        return min(self.retry_seconds * 2.0 ** min(attempts, 30), self.max_retry_seconds) * rng.uniform(0.8, 1.2)
