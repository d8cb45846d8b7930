"""What is known of the recording of an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recording:
    """A video, a picture, or both."""

    event_id: str
    stream_id: str
    at_unix: float
    """When the event began; where the time of day is not known, when it was recorded."""
    video_bytes: int
    """Size of the video; 0 without one."""
    picture_bytes: int
    before_seconds: float
    """Seconds from the beginning of the video to the start of the event."""
    seconds: float
    """Length of the video."""

    def to_record(self) -> dict[str, Any]:
        """The object that clients get."""
        return {
            "video": self.video_bytes > 0,
            "picture": self.picture_bytes > 0,
            "before_seconds": round(self.before_seconds, 3),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class RecorderStatus:
    """Nothing can be recorded at present, or it can be again."""

    stream_id: str
    """Of a stream that it was noticed with."""
    reason: str | None
    """Why nothing can be recorded; None once it can."""
