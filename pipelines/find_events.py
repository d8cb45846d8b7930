"""Finds the events of a rules file in the videos of an archive."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import zarr

from memvit.engine.heads import labels_with_heads
from memvit.events.detect import StreamEvents
from memvit.events.event import Event
from memvit.events.rules import Rules
from memvit.events.scores import Action, ClipScores, PersonScores
from memvit.labels import Labels
from memvit.store import Archive, VideoState
from memvit.store.errors import StoreError, store_errors
from memvit.store.find import read_columns
from memvit.store.heads import check_heads, head_scores
from memvit.store.videos import damage_of, hop_of, is_chosen
from memvit.teaching.head import Head

BLOCK_CLIPS = 1024
"""So many clips are read at a time."""


def events_of_archive(
    archive: Archive, rules: Rules, video: str | None = None, heads: Sequence[Head] = ()
) -> Iterator[Event]:
    """Yield the events of the finished videos, as they are told while clips come. The stream of an event is a video's
    id.

    Of the scores only those of the rules' actions are read; `heads` are taught actions that rules may name, too. Raises
    StoreError if the arrays of a video are damaged, HeadError if a head was taught with another model.
    """
    for head in heads:
        check_heads(archive.provenance, [head])
    actions = _actions_of(archive, rules, heads)
    for state in archive.videos():
        if state.state != "done" or not is_chosen(state, video) or not rules.of_stream(state.id):
            continue
        stream = StreamEvents(rules, state.id, hop_of(archive.provenance))
        for clip in _checked_clips(archive, state, actions, heads):
            yield from stream.add(clip)
        yield from stream.finish()


def _actions_of(archive: Archive, rules: Rules, heads: Sequence[Head]) -> dict[int, Action]:
    """Return the actions that the rules are about, by their column; those of heads come after those of the model.

    Raises StoreError if a rule has none of them.
    """
    made_with = archive.provenance
    names = labels_with_heads(Labels(made_with.classes), heads, [head.name for head in heads]).names
    actions = [Action(column + made_with.first_id, name) for column, name in enumerate(names)]
    for rule in rules.rules:
        if rule.actions and not any(rule.names(action) for action in actions):
            wanted = ", ".join(map(str, rule.actions))
            raise StoreError(f"rule {rule.name}: the model of this archive knows none of its actions ({wanted})")
    return {column: action for column, action in enumerate(actions) if any(rule.names(action) for rule in rules.rules)}


def _checked_clips(
    archive: Archive, state: VideoState, actions: dict[int, Action], heads: Sequence[Head]
) -> Iterator[ClipScores]:
    try:
        with store_errors(archive.location):
            scorer = _Scorer(partial(archive.array, state.id), len(archive.provenance.classes), actions, heads)
            yield from _clips(partial(archive.array, state.id), state, scorer)
    except StoreError:
        raise
    except Exception as error:  # A damaged document or chunk leads to exceptions of many types.
        raise StoreError(f"{archive.location}: {damage_of(state.id)}") from error


def _clips(array: Callable[[str], zarr.Array[Any]], state: VideoState, scorer: _Scorer) -> Iterator[ClipScores]:
    """Yield the clips of a video with the scores of some actions. `array` returns an array of the video."""
    names = set(state.digests or {})
    has_people = "boxes" in names
    rows_before = 0
    for start in range(0, state.clips, BLOCK_CLIPS):
        stop = min(start + BLOCK_CLIPS, state.clips)
        seconds = np.asarray(array("seconds")[start:stop]).tolist()
        sessions = np.asarray(array("session")[start:stop]).tolist() if "session" in names else [0] * len(seconds)
        counts = np.ones(stop - start, dtype=np.int64)
        if has_people:
            # Clips are in order in `detection_clip`, so the rows of these clips follow those of the clips before.
            counts = _counts(array("detection_clip"), rows_before, start, stop)
        rows = slice(rows_before, rows_before + int(counts.sum()))
        clips = np.repeat(np.arange(start, stop), counts)
        people = _people(array, names, rows, clips, scorer) if rows.stop > rows.start else []
        ends = np.cumsum(counts).tolist()
        for place, (second, session) in enumerate(zip(seconds, sessions, strict=True)):
            there = tuple(people[ends[place] - int(counts[place]) : ends[place]])
            yield ClipScores(state.id, start + place, round(second, 3), there, session)
        rows_before = rows.stop


def _counts(clips: zarr.Array[Any], first_row: int, start: int, stop: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return how many rows each of the clips from `start` to `stop` has; `first_row` is the first of them."""
    counts = np.zeros(stop - start, dtype=np.int64)
    for row in range(first_row, clips.shape[0], BLOCK_CLIPS):
        block = np.asarray(clips[row : row + BLOCK_CLIPS])
        counts += np.bincount(block[block < stop] - start, minlength=stop - start)
        if len(block) and block[-1] >= stop:
            break
    return counts


def _people(
    array: Callable[[str], zarr.Array[Any]],
    names: set[str],
    rows: slice,
    clips: np.ndarray[Any, np.dtype[np.int64]],
    scorer: _Scorer,
) -> list[PersonScores]:
    """Return the people of some rows; without boxes a row is a whole clip. `clips` are the clips of the rows."""
    count = rows.stop - rows.start
    scores = scorer.scores(rows, clips)
    numbers = np.asarray(array("person")[rows]) if "person" in names else np.full(count, -1)
    boxes = np.asarray(array("boxes")[rows]).tolist() if "boxes" in names else [None] * count
    return [
        PersonScores(
            number if number >= 0 else None,
            None if box is None else tuple(round(side, 4) for side in box),
            dict(zip(scorer.actions, (round(score, 4) for score in of_row), strict=True)),
        )
        for number, box, of_row in zip(numbers.tolist(), boxes, scores.tolist(), strict=True)
    ]


class _Scorer:
    """Reads the scores of some actions of a video, and computes those of taught ones from its features."""

    def __init__(
        self,
        array: Callable[[str], zarr.Array[Any]],
        classes: int,
        actions: dict[int, Action],
        heads: Sequence[Head],
    ) -> None:
        """`actions` by column: those of the model first, `classes` in all, then those of `heads`."""
        self._array = array
        self._columns = [column for column in actions if column < classes]
        self._heads = [heads[column - classes] for column in actions if column >= classes]
        self.actions = list(actions.values())

    def scores(self, rows: slice, clips: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return (rows, actions) the scores of some rows; a head that reads clips gives each row that of its clip."""
        found: list[np.ndarray[Any, Any]] = [np.zeros((len(clips), 0))]
        if self._columns:
            found.append(read_columns(self._array("action_scores"), rows.start, rows.stop, self._columns))
        for head in self._heads:
            if head.reads == "people":
                found.append(head_scores(self._array, [head], rows.start, rows.stop))
            else:
                first, last = int(clips[0]), int(clips[-1])
                found.append(head_scores(self._array, [head], first, last + 1)[clips - first])
        return np.concatenate(found, axis=1)
