"""Results of consecutive clips as columns: what is written, one array a column."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memvit.results.result import Result

Column = NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Rows:
    """Columns of the clips, and of the people in them; the first axis of every column is its row."""

    clips: dict[str, Column]
    """`number` (the centre in hops), `seconds`, `span_seconds` (2), `frames_crc32`, `people` (how many), `features`
    (C), and `action_scores` (classes) of a clip classifier."""
    people: dict[str, Column]
    """`boxes` (4), `box_scores`, `action_scores` (classes), `box_features` (C), clip by clip; empty for a clip
    classifier."""

    def __len__(self) -> int:
        return len(self.clips["number"])

    @property
    def num_people(self) -> int:
        """Rows of the people's columns."""
        return int(self.clips["people"].sum())

    def to_bytes(self) -> bytes:
        """A safetensors file of all columns."""
        from safetensors.numpy import save

        named = {f"clips.{name}": column for name, column in self.clips.items()}
        named |= {f"people.{name}": column for name, column in self.people.items()}
        return bytes(save({name: np.ascontiguousarray(column) for name, column in named.items()}))

    @staticmethod
    def from_bytes(content: bytes) -> Rows:
        """The inverse of `to_bytes`."""
        from safetensors.numpy import load

        found: dict[str, dict[str, Column]] = {"clips": {}, "people": {}}
        for name, column in load(content).items():
            kind, _, name = name.partition(".")
            found[kind][name] = column
        return Rows(found["clips"], found["people"])


def rows_of(
    results: Sequence[Result], checksums: Sequence[int], *, hop_seconds: float, stored_as: type[np.floating]
) -> Rows:
    """Columns of the results of consecutive clips.

    `checksums` are those of the clips' frames. Scores and features are stored as float16 or float32; a half cannot hold
    a feature beyond 65504, which becomes that.
    """
    centres = np.array([result.centre_seconds for result in results], dtype=np.float64)
    clips: dict[str, Column] = {
        "number": np.round(centres / hop_seconds).astype(np.int64),
        "seconds": centres,
        "span_seconds": np.array([(result.start_seconds, result.end_seconds) for result in results]).reshape(-1, 2),
        "frames_crc32": np.array(checksums, dtype=np.int64),
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
    of_boxes = [result.box_features for result in results if result.box_features is not None]
    people: dict[str, Column] = {
        "boxes": np.concatenate([box.xyxy for box in boxes]).astype(np.float32),
        "box_scores": np.concatenate([box.scores for box in boxes]).astype(np.float32),
        "action_scores": _stored(np.concatenate([result.scores for result in results]), stored_as),
        "box_features": _stored(np.concatenate(of_boxes), stored_as),
    }
    return Rows(clips, people)


def checksum_of(content: bytes | Column) -> str:
    """A short digest, to notice what was damaged."""
    data = content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes()
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _stored(values: Column, stored_as: type[np.floating]) -> Column:
    limit = np.finfo(stored_as).max
    return np.clip(values, -limit, limit).astype(stored_as)
