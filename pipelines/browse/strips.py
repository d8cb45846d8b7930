"""When which action happened in a video, at a glance: the best score of an action in each of some equal parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memvit.store import Archive, VideoState
from memvit.store.find import BLOCK_ROWS, read_columns
from memvit.store.videos import hop_of

MIN_SCORE = 0.3
"""Actions that never reach this score have no row, unless they were asked for."""


@dataclass(frozen=True)
class StripRow:
    """One action of a video."""

    action: str
    scores: NDArray[np.float32]
    """(N,) best score of anybody in each part of the video; 0 where there is no clip."""

    @property
    def peak_part(self) -> int:
        """Number of the part with the highest score."""
        return int(np.argmax(self.scores))


@dataclass(frozen=True)
class Strip:
    """Actions of a video over time."""

    start_seconds: float
    part_seconds: float
    parts: int
    rows: tuple[StripRow, ...]
    """Those that last longest come first."""

    def seconds_of(self, part: int) -> float:
        """The middle of a part."""
        return self.start_seconds + (part + 0.5) * self.part_seconds

    def to_record(self) -> dict[str, Any]:
        """As JSON: scores are hundredths."""
        rows = [{"action": row.action, "scores": np.rint(row.scores * 100).astype(int).tolist()} for row in self.rows]
        return {"start_seconds": self.start_seconds, "part_seconds": self.part_seconds, "rows": rows}


def strip_of(
    archive: Archive, state: VideoState, *, parts: int, rows: int, columns: Sequence[int] | None = None
) -> Strip:
    """Return the strip of a finished video, in at most so many parts and rows.

    `columns` are those of the actions that are wanted; by default they are the ones that are there longest.
    """
    hop = hop_of(archive.provenance)
    seconds = np.asarray(archive.array(state.id, "seconds")[:])
    if not len(seconds):
        return Strip(0.0, hop, 0, ())
    start, length = float(seconds[0]) - hop / 2, float(seconds[-1] - seconds[0]) + hop
    parts = max(1, min(parts, math.ceil(length / hop - 1e-6)))
    part_seconds = length / parts
    of_clip = np.clip(((seconds - start) / part_seconds).astype(np.int64), 0, parts - 1)
    best = _best_scores(archive, state, of_clip, parts, columns)
    names = archive.provenance.classes
    chosen = list(range(len(names))) if columns is None else list(columns)
    if columns is None:
        weight = np.where(best >= MIN_SCORE, best, 0).sum(axis=0)
        order = [int(place) for place in np.argsort(-weight, kind="stable")[:rows] if weight[place] > 0]
    else:
        order = list(range(len(chosen)))[:rows]
    return Strip(start, part_seconds, parts, tuple(StripRow(names[chosen[place]], best[:, place]) for place in order))


def _best_scores(
    archive: Archive, state: VideoState, of_clip: NDArray[np.int64], parts: int, columns: Sequence[int] | None
) -> NDArray[np.float32]:
    """(parts, actions): the best score of each part."""
    scores = archive.array(state.id, "action_scores")
    clips = archive.array(state.id, "detection_clip") if "detection_clip" in (state.digests or {}) else None
    best = np.zeros((parts, scores.shape[1] if columns is None else len(columns)), np.float32)
    for first in range(0, scores.shape[0], BLOCK_ROWS):
        stop = min(first + BLOCK_ROWS, scores.shape[0])
        block = scores[first:stop] if columns is None else read_columns(scores, first, stop, list(columns))
        block = np.nan_to_num(np.asarray(block).astype(np.float32), nan=0.0)
        part = of_clip[np.arange(first, stop) if clips is None else np.asarray(clips[first:stop])]
        # Rows are in the order of time, so those of a part follow each other.
        begins = np.flatnonzero(np.diff(part, prepend=-1))
        places = part[begins]
        best[places] = np.maximum(best[places], np.maximum.reduceat(block, begins, axis=0))
    return best
