"""What the server does with events."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from memvit.events.rules import Rules


@dataclass(frozen=True)
class EventOptions:
    """Rules, and where their events go."""

    rules: Rules | None = None
    history: Path | None = None
    """Folder in which events and results are kept; None keeps the last events in memory."""
    history_days: float = 30.0
    """Events and results that are older are deleted."""


NO_EVENTS = EventOptions()
