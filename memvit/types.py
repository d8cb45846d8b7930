"""The types that are passed from a source to a result.

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
    """A frame for people to look at, as in the annotated video; the model does not use it."""

    pts_seconds: float
    image: Image


@dataclass(frozen=True)
class DetectionSize:
    """The size of images for a detector: it makes larger ones smaller itself, so they need not be larger than this."""

    short_side: int
    """Pixels of the shorter side."""
    long_side: int
    """The largest number of pixels of the longer side."""

    def of(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of a frame's image for the detector: in proportion, and never larger than the frame."""
        scale = min(1.0, self.short_side / min(width, height), self.long_side / max(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))


@dataclass(frozen=True, eq=False)
class TrackFrame:
    """A frame in which a detector looks for people, so that they can be followed from keyframe to keyframe."""

    pts_seconds: float
    image: Image
    """The frame in the size for the detector."""


@dataclass(frozen=True, eq=False)
class Clip:
    """T frames of one stream, resized for a model, and their times."""

    stream_id: str
    index: int
    """0, 1, 2, … within the stream; memory is carried from index to index."""
    centre_seconds: float
    """Time of the keyframe: the instant that the result describes."""
    start_seconds: float
    """Presentation time of the first frame used."""
    end_seconds: float
    """Presentation time of the last frame used."""
    frames: NDArray[np.uint8]
    """(T, height, width, 3) uint8 RGB, resized for the model."""
    source_size: tuple[int, int] | None = None
    """(width, height) of the source's frames; None if unknown, or if `frames` show only a part of them."""
    centre_image: Image | None = None
    """The frame nearest the centre, in the size for the detector; None unless a detector needs it."""
    centre_image_seconds: float | None = None
    """Presentation time of that frame."""
    track_frames: tuple[TrackFrame, ...] = ()
    """Frames besides this one in which people are looked for, times ascending: at the rate of detection, those nearer
    to this centre than to another. Where a clip is complete before all of them have come, the next clip has the rest.
    """
    preview: tuple[PreviewFrame, ...] = ()
    """The frames of [centre - hop/2, centre + hop/2); empty unless an annotated video is made."""
    session: int = 0
    """Memory never crosses from one session of a stream to the next; a long gap or a new picture size begins one."""
    missed_clips: int = 0
    """How many clips are missing between this one and the one before it."""
    quality: Literal["ok", "frozen", "black"] = "ok"
    """Whether the picture is frozen or black; "ok" where this was not checked."""
    received_at: float = 0.0
    """`time.monotonic()` when the last frame of the clip arrived."""
    ready_at: float = 0.0
    """`time.monotonic()` when the clip was complete."""
    captured_unix: float | None = None
    """Unix time of the centre by the source's own clock, where it tells it."""


NO_PERSON = -1
"""The number of a box that is no person, or not yet."""


@dataclass(frozen=True, eq=False)
class PersonBoxes:
    """The boxes of the people in one clip."""

    xyxy: NDArray[np.float32]
    """(N, 4), normalised 0..1."""
    scores: NDArray[np.float32]
    """(N,) confidences of the detector; 1.0 where the boxes were given by the user."""
    persons: NDArray[np.int64] | None = None
    """(N,) number of each person in the stream, from 1; −1 for a box that is no person yet. None if nobody tracks."""

    def __post_init__(self) -> None:
        if self.persons is not None and self.persons.shape != self.scores.shape:
            raise ValueError(f"there must be a number for each of {len(self)} boxes, got {self.persons.shape}")
        if self.xyxy.ndim != 2 or self.xyxy.shape[1] != 4 or self.scores.shape != self.xyxy.shape[:1]:
            raise ValueError(
                f"boxes must be (N, 4) with N scores, got {self.xyxy.shape} boxes and {self.scores.shape} scores"
            )

    def __len__(self) -> int:
        return len(self.xyxy)

    def select(self, chosen: NDArray[np.bool_]) -> PersonBoxes:
        """The boxes where `chosen`, (N,), is true."""
        persons = None if self.persons is None else self.persons[chosen]
        return PersonBoxes(self.xyxy[chosen], self.scores[chosen], persons)


class MemvitError(Exception):
    """An error that the user can correct. The message is one sentence: what, where, what to do."""


class SourceError(MemvitError):
    """A source cannot be opened or read."""

    def __init__(self, message: str, kind: str = "broken") -> None:
        """`kind` is a class of reasons: timeout, access, not_found, refused, unreachable, data, or broken."""
        super().__init__(message)
        self.kind = kind
