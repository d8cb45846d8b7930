"""Results of consecutive clips as columns, each of which is written as one array."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from memvit.results.result import Result
from memvit.store.sightings import Column, LookedAt, sighting_columns


@dataclass(frozen=True, eq=False)
class Rows:
    """Columns of N clips, and of the P people in them; the first axis of every column is the row."""

    clips: dict[str, Column]
    """`number` (N): the centre in hops; `seconds` (N): the centre; `span_seconds` (N, 2); `frames_crc32` (N); `people`
    (N): number of people in the clip; `begins_session` (N): whether the session of the clip before has ended;
    `features` (N, channels); of a clip classifier also `action_scores` (N, classes)."""
    people: dict[str, Column]
    """`boxes` (P, 4), `box_scores` (P), `action_scores` (P, classes), `box_features` (P, channels), in the order of the
    clips; empty for a clip classifier. Also `person` (P), where the boxes came with numbers, or else `appearance` (P,
    D) float16."""

    frames: dict[str, Column] = field(default_factory=dict)
    """Where people were looked for more often than once a clip, see `memvit.store.sightings`; `clips` then has `frames`
    (N), the number of these frames of each clip."""
    sightings: dict[str, Column] = field(default_factory=dict)
    """The boxes that were found in these frames."""

    def __len__(self) -> int:
        return len(self.clips["number"])

    @property
    def num_frames(self) -> int:
        """Number of rows of `frames`."""
        return len(self.frames["seconds"]) if self.frames else 0

    @property
    def num_sightings(self) -> int:
        """Number of rows of `sightings`."""
        return len(self.sightings["boxes"]) if self.sightings else 0

    @property
    def num_people(self) -> int:
        """Number of rows of the columns of people."""
        return int(self.clips["people"].sum())

    def to_bytes(self) -> bytes:
        """Return all columns as a safetensors file."""
        from safetensors.numpy import save

        kinds = {"clips": self.clips, "people": self.people, "frames": self.frames, "sightings": self.sightings}
        named = {f"{kind}.{name}": column for kind, columns in kinds.items() for name, column in columns.items()}
        return bytes(save({name: np.ascontiguousarray(column) for name, column in named.items()}))

    @staticmethod
    def from_bytes(content: bytes) -> Rows:
        """Return the columns that `to_bytes` wrote."""
        from safetensors.numpy import load

        found: dict[str, dict[str, Column]] = {"clips": {}, "people": {}, "frames": {}, "sightings": {}}
        for name, column in load(content).items():
            kind, _, name = name.partition(".")
            found[kind][name] = column
        return Rows(**found)


def rows_of(
    results: Sequence[Result],
    checksums: Sequence[int],
    *,
    hop_seconds: float,
    stored_as: type[np.floating],
    begins_session: Sequence[bool] | None = None,
    appearance: Sequence[Column | None] = (),
    looked_at: Sequence[Sequence[LookedAt]] = (),
) -> Rows:
    """Return the columns of the results of consecutive clips.

    Of each clip, `checksums` holds the CRC-32 of the frames, `begins_session` whether the session of the clip before
    has ended (never by default), `appearance` what its people look like, (people, D), and
    `looked_at` the frames in which people were looked for, if that was more often than once. Scores and features are
    converted to `stored_as`, float16 or float32; values beyond the range of the type (65504 for float16) are clipped to
    it.
    """
    centres = np.array([result.centre_seconds for result in results], dtype=np.float64)
    clips: dict[str, Column] = {
        "number": np.round(centres / hop_seconds).astype(np.int64),
        "seconds": centres,
        "span_seconds": np.array([(result.start_seconds, result.end_seconds) for result in results]).reshape(-1, 2),
        "frames_crc32": np.array(checksums, dtype=np.int64),
        "begins_session": np.array(begins_session or [False] * len(results), dtype=bool),
        "people": np.array(
            [len(result.boxes) if result.boxes is not None else 0 for result in results], dtype=np.int64
        ),
        "features": _stored(
            np.stack([result.features for result in results if result.features is not None]), stored_as
        ),
    }
    if any(result.boxes is None for result in results):
        clips["action_scores"] = _stored(np.concatenate([result.scores for result in results]), stored_as)
        return Rows(clips, {})
    boxes = [result.boxes for result in results if result.boxes is not None]
    box_features = [result.box_features for result in results if result.box_features is not None]
    people: dict[str, Column] = {
        "boxes": np.concatenate([box.xyxy for box in boxes]).astype(np.float32),
        "box_scores": np.concatenate([box.scores for box in boxes]).astype(np.float32),
        "action_scores": _stored(np.concatenate([result.scores for result in results]), stored_as),
        "box_features": _stored(np.concatenate(box_features), stored_as),
    }
    persons = [box.persons for box in boxes if box.persons is not None]
    looks = [of_clip for of_clip in appearance if of_clip is not None]
    if len(persons) == len(boxes):
        people["person"] = np.concatenate(persons).astype(np.int64)
    elif looks and len(looks) == len(boxes):
        people["appearance"] = _stored(np.concatenate(looks), np.float16)
    if looked_at and all(looked_at):
        clips["frames"], frames, sightings = sighting_columns(looked_at)
        return Rows(clips, people, frames, sightings)
    return Rows(clips, people)


def checksum_of(content: bytes | Column) -> str:
    """Return a digest of 16 bytes, as hexadecimal digits, which tells whether the content was damaged."""
    data = content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes()
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _stored(values: Column, stored_as: type[np.floating]) -> Column:
    limit = np.finfo(stored_as).max
    return np.clip(values, -limit, limit).astype(stored_as)
