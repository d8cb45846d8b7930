"""The nouns of the system: what travels from a source to a result.

All images are RGB, uint8, (height, width, 3), already rotated upright. All times are seconds of the source's own
clock (presentation time), never indices. Boxes are (x1, y1, x2, y2), normalised to 0..1 of the upright frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
"""(height, width, 3) uint8 RGB."""


@dataclass(frozen=True, eq=False)
class PreviewFrame:
    """A frame kept for people to look at (the annotated video), not for the model."""

    pts_seconds: float
    image: Image


@dataclass(frozen=True, eq=False)
class Clip:
    """T frames of one stream, ready for a model, and when they were."""

    stream_id: str
    index: int
    """0, 1, 2, … within the stream; memory is carried from index to index."""
    centre_seconds: float
    """The keyframe: the instant the clip answers for."""
    start_seconds: float
    """Presentation time of the first frame used."""
    end_seconds: float
    """Presentation time of the last frame used."""
    frames: NDArray[np.uint8]
    """(T, height, width, 3) uint8 RGB, resized for the model."""
    source_size: tuple[int, int] | None = None
    """(width, height) of the source's frames, of which `frames` are the whole; None if they are cut out or unknown."""
    centre_image: Image | None = None
    """The frame nearest the centre at the source's resolution, when a detector wants it."""
    preview: tuple[PreviewFrame, ...] = ()
    """The frames of [centre - hop/2, centre + hop/2), when an annotated video is wanted."""
    session: int = 0
    """Memory never crosses from one session of a stream to the next; a long gap or a new picture size begins one."""
    missed_clips: int = 0
    """How many would have been between this clip and the one handed out before it."""
    quality: Literal["ok", "frozen", "black"] = "ok"
    """Of the picture, where somebody looked."""
    received_at: float = 0.0
    """`time.monotonic()` when the last frame that the clip waited for came."""
    ready_at: float = 0.0
    """`time.monotonic()` when the clip was complete."""


@dataclass(frozen=True, eq=False)
class PersonBoxes:
    """Where the people of one clip are."""

    xyxy: NDArray[np.float32]
    """(N, 4), normalised 0..1."""
    scores: NDArray[np.float32]
    """(N,), the detector's confidence; 1.0 where boxes were given."""

    def __post_init__(self) -> None:
        if self.xyxy.ndim != 2 or self.xyxy.shape[1] != 4 or self.scores.shape != self.xyxy.shape[:1]:
            raise ValueError(
                f"boxes must be (N, 4) with N scores, got {self.xyxy.shape} boxes and {self.scores.shape} scores"
            )

    def __len__(self) -> int:
        return len(self.xyxy)


class MemvitError(Exception):
    """Something a user can mend; the message is one sentence: what, where, what to do."""


class SourceError(MemvitError):
    """A source cannot be opened or read."""

    def __init__(self, message: str, kind: str = "broken") -> None:
        """`kind` is a class of reasons: timeout, access, not_found, refused, unreachable, data, or broken."""
        super().__init__(message)
        self.kind = kind
