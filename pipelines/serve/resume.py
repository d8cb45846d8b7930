"""What is saved of a stream between two clips, so that it can go on after a restart or on another engine."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from memvit.engine.snapshot import StreamSnapshot
from memvit.streams.session import Resumption


@dataclass(frozen=True)
class ResumeState:
    """A stream between two clips: its place in time, and its memory."""

    session: int = 0
    last_centre_seconds: float | None = None
    """Centre of the last answered clip, in seconds of the stream; None before the first."""
    ahead_seconds: float = 0.0
    """How many seconds of video had been read beyond that centre."""
    last_frame_unix: float = 0.0
    """Unix time in seconds at which the last frame was received."""
    size: tuple[int, int] | None = None
    """Size of the frames, as in `ReaderStatus.size`."""
    snapshot: StreamSnapshot | None = None
    """The memory; None for a stream without one."""
    run: str = ""
    """A part of the ids of the stream's events; another one each time that a stream is added."""
    events: dict[str, Any] | None = None
    """State of the stream's events, as in `StreamEvents.state`; None where there are no rules."""

    def without_memory(self) -> ResumeState:
        """The same place in time, for a new session."""
        return replace(self, snapshot=None)

    def resumption(self) -> Resumption | None:
        """Where the stream goes on now; None before its first clip. The reader decides whether the gap was too long."""
        if self.last_centre_seconds is None:
            return None
        return Resumption(
            next_index=self.snapshot.next_index if self.snapshot else 0,
            session=self.session + (self.snapshot is None),
            last_centre_seconds=self.last_centre_seconds,
            passed_seconds=self.ahead_seconds + max(0.0, time.time() - self.last_frame_unix),
            size=self.size if self.snapshot else None,
        )
