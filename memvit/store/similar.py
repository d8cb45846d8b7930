"""Finds what looks like a moment: clips or people whose features point in about the same direction.

The search reads all features, block by block, and keeps the similarities of a video and the best answers. With a
`choose`, which an index has (`memvit.store.index`), it reads only the videos that this chooses.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import NDArray

from memvit.store.errors import StoreError
from memvit.store.named import named_videos
from memvit.store.videos import hop_of, read_videos

if TYPE_CHECKING:
    from memvit.store.archive import Archive
    from memvit.store.states import VideoState

BLOCK_ROWS = 1 << 12
"""So many rows of features are read at a time."""
ALIKE = 0.05
"""Clips next to an answer belong to it if their similarity is lower by at most this."""
TIME_TOLERANCE_SECONDS = 0.0015


@dataclass(frozen=True)
class Example:
    """What is looked for."""

    vector: NDArray[np.floating[Any]]
    """(C,) the features of a clip or of a person, not all 0."""
    video: str | None = None
    """Id of the video in the archive that it is from, if any; then the moment itself is no answer."""
    seconds: float = 0.0
    """Centre of the clip that it is from."""
    person: int | None = None
    """Number of the person that it is of."""

    def direction(self) -> NDArray[np.float32]:
        """Return (C,) the vector with length 1. Raises StoreError if it has none."""
        length = float(np.linalg.norm(self.vector))
        if not (math.isfinite(length) and length > 0):
            raise StoreError("the features of this example are all 0, or not finite; take another moment")
        return (np.asarray(self.vector, dtype=np.float64) / length).astype(np.float32)


@dataclass(frozen=True)
class Moment:
    """A clip, or a person in a clip, that is like the example."""

    video: str
    """Id of the video in the archive."""
    seconds: float
    """Centre of the clip."""
    similarity: float
    """Cosine of the angle between the features, −1 to 1."""
    person: int | None = None
    """Number of the person, where people are compared; None for a box that is no person."""

    def to_record(self, *, people: bool) -> dict[str, Any]:
        """The object that is written as JSON; with the person where people are compared."""
        record: dict[str, Any] = {"video": self.video, "seconds": round(self.seconds, 3)}
        record |= {"person": self.person} if people else {}
        return {**record, "similarity": round(self.similarity, 4)}


@dataclass
class _Rows:
    """The clips or people of a video, compared with the example: those of one person follow each other in time."""

    seconds: NDArray[np.float64]
    persons: NDArray[np.int64]
    """−1 for whole clips, and for boxes that are no person."""
    similarities: NDArray[np.float64]

    def moments(
        self, state: VideoState, example: Example, hop_seconds: float, top: int, *, every: bool
    ) -> list[Moment]:
        """Return the best answers of the video, best first; without `every`, neighbours are one answer."""
        is_free = np.ones(len(self.seconds), dtype=bool)
        if example.video == state.id:
            is_near = np.abs(self.seconds - example.seconds) <= TIME_TOLERANCE_SECONDS
            asked = is_near & (self.persons == (-1 if example.person is None else example.person))
            for row in np.flatnonzero(asked).tolist():
                is_free[row if every else self._neighbours(row, hop_seconds)] = False
        found: list[Moment] = []
        for row in np.argsort(-self.similarities, kind="stable").tolist():
            if len(found) == top:
                break
            if is_free[row]:
                number = int(self.persons[row])
                person = number if number >= 0 else None
                found.append(Moment(state.id, float(self.seconds[row]), float(self.similarities[row]), person))
                is_free[row if every else self._neighbours(row, hop_seconds)] = False
        return found

    def _neighbours(self, row: int, hop_seconds: float) -> slice:
        """Return the rows that are one answer with this one: those next to it, and on as long as they are alike."""
        least = self.similarities[row] - ALIKE
        edges = []
        for step in (-1, 1):
            edge = row
            while self._is_next(edge, edge + step, hop_seconds):
                if edge != row and self.similarities[edge + step] < least:
                    break
                edge += step
            edges.append(edge)
        return slice(edges[0], edges[1] + 1)

    def _is_next(self, row: int, other: int, hop_seconds: float) -> bool:
        if not 0 <= other < len(self.seconds) or self.persons[row] != self.persons[other]:
            return False
        return bool(abs(self.seconds[row] - self.seconds[other]) <= hop_seconds + TIME_TOLERANCE_SECONDS)


def similar(
    archive: Archive,
    example: Example,
    *,
    people: bool = False,
    top: int = 10,
    every: bool = False,
    video: str | None = None,
    on_damaged: Callable[[VideoState], None] | None = None,
    choose: Callable[[NDArray[np.float32]], set[str]] | None = None,
) -> list[Moment]:
    """Return the clips, or with `people` the people, that are most like an example, best first.

    Neighbouring clips of one video (of one person, where people are compared) are one answer, the best of them, unless
    `every`. `video` is a shell pattern of the videos that are searched; `choose` returns the ids of those that are, for
    the direction of the example. A video whose arrays cannot be read is passed
    to `on_damaged`. Raises StoreError if that is None, or if there are no features of this kind and length.
    """
    direction = example.direction()
    hop_seconds = hop_of(archive.provenance)
    if people and not archive.provenance.boxes:
        raise StoreError(f"{archive.location}: its model classifies whole clips, not people; search without --people")

    def search(state: VideoState) -> list[Moment]:
        rows = _compare(partial(archive.array, state.id), set(state.digests or {}), direction, people=people)
        return rows.moments(state, example, hop_seconds, top, every=every)

    best: list[Moment] = []
    only = choose(direction) if choose is not None else None
    for found in read_videos(archive, search, video, on_damaged, only):
        # The merge is stable, so of equal answers the one of the earlier video comes first.
        best = list(heapq.merge(best, found, key=lambda moment: -moment.similarity))[:top]
    return best


def _compare(
    array: Callable[[str], zarr.Array[Any]], names: set[str], direction: NDArray[np.float32], *, people: bool
) -> _Rows:
    """Compare all clips or people of a video with a vector of length 1."""
    features = array("box_features" if people else "features")
    if features.shape[1:] != direction.shape:
        raise StoreError(f"features of this archive have {features.shape[1]} numbers, not {len(direction)}")
    similarities = np.concatenate([np.zeros(0), *(cosines(block, direction) for block in blocks(features))])
    seconds = np.asarray(array("seconds")[:])
    if not people:
        return _Rows(seconds, np.full(len(seconds), -1), similarities)
    seconds = seconds[np.asarray(array("detection_clip")[:])]
    persons = np.asarray(array("person")[:]) if "person" in names else np.full(len(seconds), -1)
    order = np.lexsort((seconds, persons))
    return _Rows(seconds[order], persons[order], similarities[order])


def blocks(features: zarr.Array[Any]) -> Iterator[NDArray[np.float32]]:
    """Yield the rows of an array block by block."""
    for start in range(0, features.shape[0], BLOCK_ROWS):
        yield np.asarray(features[start : start + BLOCK_ROWS]).astype(np.float32, copy=False)


def cosines(rows: NDArray[np.float32], direction: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, C) and (C,) of length 1 → (N,) cosines; 0 for a row of zeros."""
    lengths = np.sqrt(np.einsum("nc,nc->n", rows, rows, dtype=np.float32).astype(np.float64))
    return np.clip((rows @ direction) / np.maximum(lengths, 1e-30), -1, 1)


def example_of(archive: Archive, what: str, *, people: bool = False, person: int | None = None) -> Example | None:
    """Return the clip, or the person, at VIDEO@SECONDS of an archive; None if it has no such video.

    VIDEO is the id of a video, or its location or file name if no other video has the same. Raises StoreError if the
    video is not done or has no clip there, or if it is not clear who of several people is meant.
    """
    name, seconds = split_moment(what)
    state = named_videos(archive, [name]).get(name)
    if state is None:
        return None
    if state.state != "done":
        raise StoreError(f"{state.id}: this video is {state.state} in the archive; take one that is done")
    times = np.asarray(archive.array(state.id, "seconds")[:])
    clip = int(np.argmin(np.abs(times - seconds))) if len(times) else 0
    if not len(times) or abs(times[clip] - seconds) > hop_of(archive.provenance) / 2 + TIME_TOLERANCE_SECONDS:
        covered = f"its clips are from {times[0]:g} to {times[-1]:g} s" if len(times) else "it has no clips"
        raise StoreError(f"{state.id}: there is no clip at {seconds:g} s; {covered}")
    if not people:
        vector = np.asarray(archive.array(state.id, "features")[clip])
        return Example(vector, state.id, float(times[clip]))
    names = set(state.digests or {})
    rows = np.flatnonzero(np.asarray(archive.array(state.id, "detection_clip")[:]) == clip)
    persons = np.full(len(rows), -1)
    if "person" in names and len(rows):
        persons = np.asarray(archive.array(state.id, "person")[rows[0] : rows[-1] + 1])
    place = choose_person(persons.tolist(), person, f"{state.id} at {times[clip]:g} s")
    number = int(persons[place]) if persons[place] >= 0 else None
    vector = np.asarray(archive.array(state.id, "box_features")[rows[place]])
    return Example(vector, state.id, float(times[clip]), number)


def split_moment(what: str) -> tuple[str, float]:
    """Return the name and the seconds of VIDEO@SECONDS. Raises StoreError if it has another form."""
    name, at, text = what.rpartition("@")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (at and name and math.isfinite(seconds)):
        raise StoreError(f"{what}: name a moment as VIDEO@SECONDS, such as film.mp4@12.5")
    return name, seconds


def choose_person(persons: list[int], wanted: int | None, where: str) -> int:
    """Return the place of a person among those of a clip. Raises StoreError if it is not clear who is meant."""
    if not persons:
        raise StoreError(f"{where}: nobody is there; take another moment")
    if wanted is None and len(persons) == 1:
        return 0
    if wanted in persons:
        return persons.index(wanted)
    there = ", ".join(str(number) for number in sorted(persons) if number >= 0) or "people without numbers"
    raise StoreError(f"{where}: there are {there}; name one of them with --person")
