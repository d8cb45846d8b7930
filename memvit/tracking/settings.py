"""What a tracker assumes of people and detectors."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class TrackerSettings:
    """Times are in seconds; lengths are in sizes of the person's own box, so that near and far people are alike.

    ValueError if a number is not positive.
    """

    keep_seconds: float = 10.0
    """A person who has not been seen for longer than this is forgotten, and would get a new number."""
    low_score: float = 0.5
    """Boxes with a lower score never become people; they only continue people who found no better box."""
    sure_score: float = 0.7
    """A new box with at least this score is a person at once."""
    wait_seconds: float = 0.3
    """Any other new box is a person once it is found again after this time. If the frame before is as long ago, it is a
    person at once: at low rates it costs too much to wait for another frame."""
    speed: float = 0.8
    """Standard deviation of the speed of people, in heights of the person a second; up and down it is half of it."""
    speed_seconds: float = 5.0
    """How long people keep their speed: its correlation falls to 1/e in this time."""
    growth: float = 0.15
    """Standard deviation of the growth of boxes, as a part of their size, a second."""
    centre_error: float = 0.05
    """Standard deviation of the detector's error of the centre of a box, in widths and heights of the box."""
    width_error: float = 0.15
    """Standard deviation of the error of the width, as a part of it; arms and legs move, so it is large."""
    height_error: float = 0.07
    """Standard deviation of the error of the height, as a part of it."""
    looks_seconds: float = 3.0
    """What a person looks like is a mean over about this time."""
    looks_limit: float = 6.0
    """How much looks can say for or against a person, as log odds."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{field.name} must be a positive number, got {value}")
