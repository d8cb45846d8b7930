"""Takes from an archive what a head is taught with: the features of labelled moments, and moments to ask about."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import zarr
from numpy.typing import NDArray

from memvit.store.errors import StoreError, store_errors
from memvit.store.named import named_videos
from memvit.store.parallel import in_order
from memvit.store.provenance import identity_of
from memvit.store.similar import blocks, choose_person
from memvit.store.videos import damage_of, hop_of, read_videos
from memvit.teaching.fit import Fit, fit
from memvit.teaching.head import Head, Reads, check_name
from memvit.teaching.moments import Moment
from memvit.teaching.suggest import CANDIDATES, spread

if TYPE_CHECKING:
    from memvit.store.archive import Archive
    from memvit.store.states import VideoState

ReadArray: TypeAlias = Callable[[str], zarr.Array[Any]]
APART_SECONDS = 3.0
"""Moments of one person, or of one video's clips, are asked about only if they are so far apart."""


class TeachError(StoreError):
    """A head cannot be taught from these labels."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled moments with their features."""

    reads: Reads
    features: NDArray[np.float32]
    """(N, C)"""
    is_action: NDArray[np.bool_]
    """(N,)"""
    videos: NDArray[np.str_]
    """(N,) ids of the videos"""
    seconds: NDArray[np.float64]
    """(N,) centres of the clips"""
    persons: NDArray[np.int64]
    """(N,) numbers of the people; −1 for whole clips, and for boxes that are no person."""
    left_out: tuple[str, ...] = ()
    """Why some labels were left out, a sentence each."""


@dataclass(frozen=True, eq=False)
class Taught:
    """A head, and how good it is."""

    head: Head
    fit: Fit
    examples: Examples


@dataclass(frozen=True)
class Question:
    """A moment that is worth labelling."""

    video: str
    """Id of the video."""
    seconds: float
    person: int | None
    score: float | None
    """Of the head; None where there is none yet."""


def reads_of(archive: Archive, moments: Sequence[Moment], reads: Reads | None) -> Reads:
    """Return what a head is to read: people if a label names one, or as wanted. Raises TeachError if it cannot."""
    chosen: Reads = reads or ("people" if any(moment.person is not None for moment in moments) else "clips")
    if chosen == "people" and not archive.provenance.boxes:
        raise TeachError(f"{archive.location}: its model classifies whole clips; leave the numbers of persons out")
    return chosen


def teach(archive: Archive, moments: Sequence[Moment], name: str, *, reads: Reads | None = None) -> Taught:
    """Teach an action from labelled moments.

    Raises TeachError if there are no labels of both kinds, StoreError if a video cannot be read.
    """
    try:
        check_name(name)
    except ValueError as error:
        raise TeachError(f"{name[:40]!r} is no name of an action: {error}") from error
    if name.casefold() in (known.casefold() for known in archive.provenance.classes):
        raise TeachError(f"the model of this archive knows an action {name!r} already; choose another --name")
    examples = examples_of(archive, moments, reads_of(archive, moments, reads))
    yes = int(examples.is_action.sum())
    if not yes or yes == len(examples.is_action):
        missing = "1 (it happens)" if not yes else "0 (it does not)"
        reason = f" ({examples.left_out[0]})" if examples.left_out else ""
        raise TeachError(f"there is no usable label {missing}; at least one of both is needed, better ten{reason}")
    fitted = fit(examples.features, examples.is_action, examples.videos, examples.seconds)
    source: dict[str, Any] = {
        "labels": len(examples.is_action),
        "with_action": yes,
        "videos": len(np.unique(examples.videos)),
        "penalty": fitted.penalty,
    }
    if fitted.validation is not None:
        checked = fitted.validation
        source |= {
            "validated_by": checked.by,
            "average_precision": round(checked.average_precision, 4),
            "precision": round(checked.precision, 4),
            "recall": round(checked.recall, 4),
        }
    identity = identity_of(archive.provenance)
    head = Head(name, examples.reads, identity, fitted.weight, fitted.bias, 0.5, source)
    return Taught(head, fitted, examples)


def examples_of(archive: Archive, moments: Sequence[Moment], reads: Reads) -> Examples:
    """Return the features of labelled moments. What is not in the archive is left out, with a sentence for each."""
    states = named_videos(archive, (moment.video for moment in moments))
    by_video: dict[str, list[Moment]] = defaultdict(list)
    left_out = []
    for moment in moments:
        state = states.get(moment.video)
        if state is None or state.state != "done":
            why = "there is no such video" if state is None else f"this video is {state.state}"
            left_out.append(f"line {moment.line}: {moment.video}: {why} in the archive")
        else:
            by_video[state.id].append(moment)
    known = {state.id: state for state in states.values()}
    rows: list[tuple[NDArray[np.float32], bool, str, float, int]] = []
    for found, missed in in_order(
        lambda video: _of_video(archive, known[video], by_video[video], reads), sorted(by_video)
    ):
        rows += found
        left_out += missed
    features = [row[0] for row in rows]
    return Examples(
        reads,
        np.stack(features).astype(np.float32) if features else np.zeros((0, 0), np.float32),
        np.array([row[1] for row in rows], dtype=bool),
        np.array([row[2] for row in rows], dtype=str),
        np.array([row[3] for row in rows], dtype=np.float64),
        np.array([row[4] for row in rows], dtype=np.int64),
        tuple(left_out),
    )


def _of_video(
    archive: Archive, state: VideoState, moments: list[Moment], reads: Reads
) -> tuple[list[tuple[NDArray[np.float32], bool, str, float, int]], list[str]]:
    """Return (features, answer, video, seconds, person) of the labels of a video, and what was left out."""
    try:
        with store_errors(archive.location):
            array: ReadArray = partial(archive.array, state.id)
            seconds = np.asarray(array("seconds")[:])
            places, missed = [], []
            who = _Who(array, state, reads)
            for moment in moments:
                clip = int(np.argmin(np.abs(seconds - moment.seconds))) if len(seconds) else 0
                near = hop_of(archive.provenance) / 2 + 0.0015
                where = f"line {moment.line}: {state.id} at {moment.seconds:g} s"
                if not len(seconds) or abs(seconds[clip] - moment.seconds) > near:
                    missed.append(f"{where}: there is no clip")
                    continue
                try:
                    row, person = who.row(clip, moment.person, where)
                except StoreError as error:
                    missed.append(str(error))
                    continue
                places.append((row, moment.label, float(seconds[clip]), person))
            features = array("box_features" if reads == "people" else "features")
            wanted = np.array(sorted({row for row, *_ in places}), dtype=np.int64)
            values = np.asarray(features.get_orthogonal_selection((wanted,))) if len(wanted) else np.zeros((0, 0))
    except StoreError:
        raise
    except Exception as error:  # A damaged document or chunk leads to exceptions of many types.
        raise StoreError(f"{archive.location}: {damage_of(state.id)}") from error
    at = {int(row): value for row, value in zip(wanted, values, strict=True)}
    return [(at[row], label, state.id, second, person) for row, label, second, person in places], missed


class _Who:
    """Finds the row of a person, or of a clip, among the features of a video."""

    def __init__(self, array: ReadArray, state: VideoState, reads: Reads) -> None:
        self._reads = reads
        if reads == "people":
            self._clips = np.asarray(array("detection_clip")[:])
            numbered = "person" in (state.digests or {})
            self._persons = np.asarray(array("person")[:]) if numbered else np.full(len(self._clips), -1)

    def row(self, clip: int, person: int | None, where: str) -> tuple[int, int]:
        """Return the row and the number of the person. Raises StoreError if it is not clear who is meant."""
        if self._reads == "clips":
            return clip, -1
        first, stop = np.searchsorted(self._clips, [clip, clip + 1]).tolist()
        place = first + choose_person(self._persons[first:stop].tolist(), person, where)
        return place, int(self._persons[place])


def suggest(
    archive: Archive,
    count: int,
    *,
    taught: Taught | None = None,
    reads: Reads = "clips",
    video: str | None = None,
    known: Sequence[tuple[str, float, int | None]] = (),
) -> list[Question]:
    """Return moments that are worth labelling: those of which the head is least sure, far from each other and from
    moments that have a label. Without a head, moments that are as different as possible.

    `known` are further moments (video, seconds, person) from which they are to be far: those that were asked about.
    """
    head = taught.head if taught is not None else None
    reads = head.reads if head is not None else reads
    labelled: dict[tuple[str, int], list[float]] = defaultdict(list)
    if taught is not None:
        rows = taught.examples
        for name, person, second in zip(rows.videos, rows.persons, rows.seconds, strict=True):
            labelled[str(name), int(person)].append(float(second))
    states = named_videos(archive, (name for name, *_ in known))
    for name, second, number in known:
        if name in states:
            labelled[states[name].id, number if number is not None and reads == "people" else -1].append(second)

    def search(state: VideoState) -> list[_Candidate]:
        return _candidates(partial(archive.array, state.id), state, head, reads, labelled, count * CANDIDATES)

    best: list[_Candidate] = []
    for found in read_videos(archive, search, video, lambda state: None):
        best = heapq.nsmallest(count * CANDIDATES, [*best, *found], key=lambda one: one.certainty)
    if not best:
        return []
    chosen = [best[row] for row in spread(np.stack([one.vector for one in best]), count)]
    return [one.question for one in sorted(chosen, key=lambda one: one.certainty)]


@dataclass(frozen=True, eq=False)
class _Candidate:
    question: Question
    certainty: float
    """How sure the head is, 0 to 0.5; drawn where there is no head."""
    vector: NDArray[np.float32]


def _candidates(
    array: ReadArray,
    state: VideoState,
    head: Head | None,
    reads: Reads,
    labelled: dict[tuple[str, int], list[float]],
    count: int,
) -> list[_Candidate]:
    """Return the least certain moments of a video, of each person those that are some seconds apart."""
    seconds, persons = np.asarray(array("seconds")[:]), np.zeros(0, np.int64)
    if reads == "people":
        seconds = seconds[np.asarray(array("detection_clip")[:])]
        persons = np.asarray(array("person")[:]) if "person" in (state.digests or {}) else persons
    persons = persons if len(persons) else np.full(len(seconds), -1)
    features = array("box_features" if reads == "people" else "features")
    if head is not None:
        scores = np.concatenate([np.zeros(0), *(head.scores(block) for block in blocks(features))])
        certainty = np.abs(scores - head.threshold)
    else:
        scores = np.full(len(seconds), np.nan)
        certainty = np.random.default_rng(len(seconds)).random(len(seconds)) / 2
    taken: dict[int, list[float]] = defaultdict(list)
    rows: list[int] = []
    for row in np.argsort(certainty, kind="stable").tolist():
        person, second = int(persons[row]), float(seconds[row])
        near = [*taken[person], *labelled.get((state.id, person), ())]
        if all(abs(second - other) >= APART_SECONDS for other in near):
            taken[person].append(second)
            rows.append(row)
        if len(rows) == count:
            break
    ordered = sorted(rows)
    at: dict[int, Any] = {}
    if rows:
        vectors = np.asarray(features.get_orthogonal_selection((np.array(ordered, dtype=np.int64),)))
        at = dict(zip(ordered, vectors, strict=True))
    return [
        _Candidate(
            Question(
                state.id,
                float(seconds[row]),
                int(persons[row]) if persons[row] >= 0 else None,
                None if head is None else float(scores[row]),
            ),
            float(certainty[row]),
            np.asarray(at[row], dtype=np.float32),
        )
        for row in rows
    ]
