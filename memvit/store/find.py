"""Finds when somebody does something: intervals of consecutive clips in which an action has a high score.

Of each video only the scores of the actions asked for are read, block by block, and the numbers, clips and times of
blocks in which one of these scores is high enough. Scores of taught actions are computed from the stored features.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import zarr
from numpy.typing import NDArray

from memvit.store.errors import StoreError
from memvit.store.heads import check_heads, head_scores
from memvit.store.videos import hop_of, read_videos
from memvit.teaching.head import Head

if TYPE_CHECKING:
    from memvit.store.archive import Archive
    from memvit.store.provenance import Provenance
    from memvit.store.states import VideoState

Hits: TypeAlias = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
"""Of rows that count: seconds, sessions, numbers of persons (−1 for none) and scores."""
BLOCK_ROWS = 1 << 16
"""So many rows of an array are read at a time."""
FEATURE_ROWS = 1 << 12
"""So many rows are read at a time where features are, which are longer."""
TIME_TOLERANCE_SECONDS = 0.0015
"""Differences of times are compared with this tolerance, as in the rules of events."""


@dataclass(frozen=True)
class Query:
    """What is looked for. Times are in seconds."""

    actions: tuple[str, ...]
    """Names of actions in any letter case, or their ids; the largest of their scores counts."""
    min_score: float = 0.5
    """Clips count with at least this score."""
    min_seconds: float = 0.0
    """Shorter intervals are left out; an interval lasts from the centre of its first clip to that of its last."""
    merge_seconds: float = 0.0
    """An interval ends when the last clip that counts is more than this and one hop ago."""
    person: int | None = None
    """The number of the only person who counts."""
    video: str | None = None
    """A shell pattern of the id, location or file name of the videos that count."""
    heads: tuple[Head, ...] = ()
    """Taught actions, beside `actions`; the largest of all scores counts."""


@dataclass(frozen=True)
class Interval:
    """Clips of one person, or of a video whose people have no numbers, that follow each other."""

    video: str
    """Id of the video in the archive."""
    person: int | None
    """Number of the person in this video; None where there are no numbers, or for boxes that are no person."""
    start_seconds: float
    """Centre of the first clip."""
    end_seconds: float
    """Centre of the last clip."""
    peak_score: float
    """Highest score of the clips that count."""
    mean_score: float
    """Mean score of the clips that count."""

    def to_record(self) -> dict[str, Any]:
        """The object that is written as JSON."""
        return {
            "video": self.video,
            "person": self.person,
            "start_seconds": round(self.start_seconds, 3),
            "end_seconds": round(self.end_seconds, 3),
            "peak_score": round(self.peak_score, 4),
            "mean_score": round(self.mean_score, 4),
        }


@dataclass
class _Open:
    """An interval that has begun and not ended."""

    start_seconds: float
    last_seconds: float
    session: int
    peak: float
    total: float
    """Sum of the scores of the clips."""
    last_score: float
    """Score of the last clip."""
    clips: int = 1

    def add(self, seconds: float, score: float) -> None:
        """Another box that counts; of several in one clip, the highest score is that of the clip."""
        if seconds > self.last_seconds:
            self.total, self.clips = self.total + score, self.clips + 1
            self.last_seconds, self.last_score = seconds, score
        elif score > self.last_score:
            self.total += score - self.last_score
            self.last_score = score
        self.peak = max(self.peak, score)


def find(archive: Archive, query: Query, on_damaged: Callable[[VideoState], None] | None = None) -> Iterator[Interval]:
    """Yield the intervals of all finished videos, in the order of the videos' ids and of time.

    A video whose arrays cannot be read is passed to `on_damaged`. Raises StoreError if that is None, or if an action is
    unknown, and HeadError if a head was taught with another model.
    """
    columns = columns_of(archive.provenance, query.actions) if query.actions or not query.heads else []
    check_heads(archive.provenance, query.heads, with_people=bool(columns) and bool(archive.provenance.boxes))

    def search(state: VideoState) -> list[Interval]:
        return intervals_of(archive, state, columns, query)

    for found in read_videos(archive, search, query.video, on_damaged):
        yield from found


def intervals_of(archive: Archive, state: VideoState, columns: list[int], query: Query) -> list[Interval]:
    """Return the intervals of one video in the order of time, then of persons.

    `columns` are those of `action_scores` of the actions that count; see `columns_of`.
    """
    names = set(state.digests or {})
    if query.heads and query.heads[0].reads == "clips":
        names -= {"person", "detection_clip"}  # Each row is a clip.
    hits = _hits(partial(archive.array, state.id), names, columns, query)
    return _intervals(hits, state.id, query, hop_of(archive.provenance))


def columns_of(provenance: Provenance, actions: Sequence[str]) -> list[int]:
    """Return the columns of `action_scores` of some actions. Raises StoreError if there is none, or one is unknown."""
    if not actions:
        raise StoreError("name an action to look for")
    names = [name.casefold() for name in provenance.classes]
    found = []
    for action in actions:
        same = [column for column, name in enumerate(names) if name == action.casefold()]
        if not same and action.isdecimal() and 0 <= int(action) - provenance.first_id < len(names):
            same = [int(action) - provenance.first_id]
        if not same:
            near = difflib.get_close_matches(action.casefold(), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"its actions are {_few(provenance.classes)}"
            raise StoreError(f"the model of this archive knows no action {action!r}; {hint}")
        found += same
    return sorted(set(found))


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f", … ({len(names)} in all)" if len(names) > 6 else "")


def _intervals(hits: Iterator[Hits], video_id: str, query: Query, hop_seconds: float) -> list[Interval]:
    """Return the intervals of one video in the order of time, then of persons."""
    found: list[Interval] = []
    intervals: dict[int, _Open] = {}
    longest_gap = query.merge_seconds + hop_seconds + TIME_TOLERANCE_SECONDS

    def end(person: int, interval: _Open) -> None:
        if interval.last_seconds - interval.start_seconds >= query.min_seconds - TIME_TOLERANCE_SECONDS:
            times = interval.start_seconds, interval.last_seconds
            number = person if person >= 0 else None
            found.append(Interval(video_id, number, *times, interval.peak, interval.total / interval.clips))

    for seconds, sessions, persons, scores in hits:
        rows = zip(seconds.tolist(), sessions.tolist(), persons.tolist(), scores.tolist(), strict=True)
        for second, session, person, score in rows:
            interval = intervals.get(person)
            if interval is not None and interval.session == session and second - interval.last_seconds <= longest_gap:
                interval.add(second, score)
                continue
            if interval is not None:
                end(person, interval)
            intervals[person] = _Open(second, second, session, peak=score, total=score, last_score=score)
    for person, interval in intervals.items():
        end(person, interval)
    return sorted(
        found, key=lambda interval: (interval.start_seconds, -1 if interval.person is None else interval.person)
    )


def _hits(array: Callable[[str], zarr.Array[Any]], names: set[str], columns: list[int], query: Query) -> Iterator[Hits]:
    """Yield the rows that count, block by block. `array` returns an array of the video; `names` are their names."""
    if query.person is not None and "person" not in names:
        return
    for start, best in _best_scores(array, columns, query.heads):
        stop = start + len(best)
        rows = np.flatnonzero(best >= query.min_score)
        persons = np.full(len(rows), -1)
        if "person" in names and len(rows):
            persons = np.asarray(array("person")[start:stop])[rows]
        if query.person is not None:
            rows, persons = rows[persons == query.person], persons[persons == query.person]
        if not len(rows):
            continue
        clips = np.asarray(array("detection_clip")[start:stop])[rows] if "detection_clip" in names else start + rows
        first, last = int(clips[0]), int(clips[-1])
        seconds = np.asarray(array("seconds")[first : last + 1])[clips - first]
        sessions = np.zeros(len(rows), dtype=np.int64)
        if "session" in names:
            sessions = np.asarray(array("session")[first : last + 1])[clips - first]
        yield seconds, sessions, persons, best[rows].astype(np.float64)


def _best_scores(
    array: Callable[[str], zarr.Array[Any]], columns: list[int], heads: Sequence[Head]
) -> Iterator[tuple[int, NDArray[np.floating[Any]]]]:
    """Yield the first row of each block, and the largest score of each of its rows."""
    scores = array("action_scores") if columns else None
    rows = (
        scores.shape[0] if scores is not None else array("seconds" if heads[0].reads == "clips" else "boxes").shape[0]
    )
    block = FEATURE_ROWS if heads else BLOCK_ROWS
    for start in range(0, rows, block):
        stop = min(start + block, rows)
        found = [head_scores(array, heads, start, stop)] if heads else []
        if scores is not None:
            found.append(read_columns(scores, start, stop, columns))
        yield start, np.concatenate(found, axis=1).max(axis=1)


def read_columns(scores: zarr.Array[Any], start: int, stop: int, columns: list[int]) -> NDArray[Any]:
    """Return some columns of the rows from `start` to `stop`; only the chunks that hold them are read."""
    if len(columns) == 1:
        return np.asarray(scores[start:stop, columns[0] : columns[0] + 1])
    return np.asarray(scores.get_orthogonal_selection((slice(start, stop), np.array(columns))))
