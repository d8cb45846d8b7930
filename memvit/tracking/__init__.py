"""Who is who: people keep their number from frame to frame, at any rate of frames."""

from __future__ import annotations

from memvit.tracking.settings import TrackerSettings
from memvit.tracking.tracker import Tracker

__all__ = ["Tracker", "TrackerSettings"]
