"""What a tracker assumes of people and detectors."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class TrackerSettings:
    """Times are in seconds. Lengths are in sizes of the person's own box, so that near and far people are alike."""

    keep_seconds: float = 10.0
    """A person who has not been seen for longer than this is forgotten, and would get a new number."""
    low_score: float = 0.5
    """Boxes with a lower score only continue people who found no other box; they never become people."""
    sure_score: float = 0.7
    """A new box with at least this score is a person at once."""
    wait_seconds: float = 0.3
    """A new box is a person at once if the frame before is at least this long ago: to wait for one more costs more."""
    confirm_boxes: int = 2
    """Other new boxes are people once they have been found this often …"""
    confirm_seconds: float = 0.5
    """… with no gap between them that is longer than this."""
    speed: float = 1.0
    """Standard deviation of the speed of people, in heights of the box a second (sideways; up and down it is half)."""
    speed_seconds: float = 3.0
    """How long people keep their speed: the correlation of the speed falls to 1/e in this time."""
    size_change: float = 0.2
    """Standard deviation of the growth of boxes, as a part of their size, a second."""
    centre_error: float = 0.05
    """Standard deviation of a detector's error of the centre, in sizes of the box."""
    size_error: float = 0.1
    """Standard deviation of a detector's error of width and height, as a part of them."""
    accept: float = 1.0
    """Log odds that are added to those of a box being the predicted person rather than somebody new."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value) or (value <= 0 and field.name != "accept"):
                raise ValueError(f"{field.name} must be a positive number, got {value}")
