"""Searches an archive in pieces of about a second, so that a page shows what is found while the search goes on."""

from __future__ import annotations

import heapq
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from memvit.store import Archive, Example, Query, VideoState
from memvit.store.errors import StoreError
from memvit.store.find import find
from memvit.store.indexed import chooser
from memvit.store.similar import similar

PIECE_SECONDS = 1.0
FIRST_SECONDS = 0.3
"""The first piece is shorter, so that something is shown soon."""
FIRST_FILMS = 8
"""Films that are searched before the clock is looked at for the first time; then at most twice as many, and so on."""


class Part(Archive):
    """Some of the videos of an archive."""

    def __init__(self, whole: Archive, video_ids: Sequence[str]) -> None:
        super().__init__(whole.root, whole.location, whole.provenance)
        self.has_persons, self._video_ids = whole.has_persons, list(video_ids)

    def video_ids(self) -> list[str]:
        """The ids of these videos."""
        return self._video_ids


@dataclass(frozen=True)
class Films:
    """The films that a search reads."""

    ids: list[str]
    """Sorted."""
    by_index: bool = False
    """Whether the index of the archive has chosen them."""
    note: str = ""
    """What is to be said of the index; empty if nothing is."""


@dataclass
class Piece:
    """What was found in some of the films."""

    results: list[dict[str, Any]] = field(default_factory=list)
    """The best ones, best first."""
    found: int = 0
    """How many there were."""
    searched: int = 0
    """How many films were searched."""
    films: int = 0
    """How many the whole search reads."""
    by_index: bool = False
    """Whether the index of the archive has chosen them; otherwise they are all that were asked for."""
    note: str = ""
    """What is to be said of the index."""
    cursor: str | None = None
    """Id of the last film that was searched; None if there is none after it."""
    damaged: list[str] = field(default_factory=list)
    """Ids of films that could not be read."""


def search_actions(archive: Archive, ids: Sequence[str], query: Query, after: str | None, limit: int) -> Piece:
    """Find intervals in the films whose ids follow `after`. StoreError if an action is unknown."""

    def search(part: Archive, piece: Piece) -> list[dict[str, Any]]:
        intervals = _counted(find(part, query, _note(piece)), piece)
        best = heapq.nlargest(limit, intervals, key=lambda interval: interval.peak_score)
        return [interval.to_record() for interval in best]

    return _in_pieces(archive, ids, after, limit, search, "peak_score")


def choose_films(archive: Archive, ids: list[str], example: Example, limit: int, *, people: bool) -> Films:
    """Return the films that the index of the archive chooses for an example; all if it has none that can be used."""
    notes: list[str] = []
    try:
        choose = chooser(archive, "people" if people else "clips", limit, notes.append)
        if choose is None:
            return Films(ids)
        return Films(sorted(choose(example.direction())), by_index=True, note=" ".join(notes))
    except StoreError as error:
        example.direction()  # without one, no other search helps
        return Films(ids, note=str(error))


def search_similar(
    archive: Archive, films: Films, example: Example, after: str | None, limit: int, *, people: bool
) -> Piece:
    """Find moments that are like an example in those of the films whose ids follow `after`."""

    def search(part: Archive, piece: Piece) -> list[dict[str, Any]]:
        moments = similar(part, example, people=people, top=limit, on_damaged=_note(piece))
        piece.found += len(moments)
        return [moment.to_record(people=True) for moment in moments]

    piece = _in_pieces(archive, films.ids, after, limit, search, "similarity")
    return replace(piece, by_index=films.by_index, note=films.note)


def _in_pieces(
    archive: Archive,
    ids: Sequence[str],
    after: str | None,
    limit: int,
    search: Callable[[Archive, Piece], list[dict[str, Any]]],
    rank: str,
) -> Piece:
    piece, began = Piece(films=len(ids)), time.monotonic()
    place, films = bisect_right(ids, after) if after is not None else 0, FIRST_FILMS
    begin, seconds = place, FIRST_SECONDS if after is None else PIECE_SECONDS
    while True:
        part = ids[place : place + films]
        found = search(Part(archive, part), piece)
        piece.results = heapq.nlargest(limit, [*piece.results, *found], key=lambda result: float(result[rank]))
        place += len(part)
        passed = max(time.monotonic() - began, 1e-3)
        if place >= len(ids) or passed > seconds:
            break
        # As many as are likely to be searched in the time that is left.
        films = max(FIRST_FILMS, min(2 * films, int((seconds - passed) / passed * (place - begin))))
    piece.searched = place - begin
    piece.cursor = ids[place - 1] if place < len(ids) else None
    return piece


def _counted(results: Iterator[Any], piece: Piece) -> Iterator[Any]:
    for result in results:
        piece.found += 1
        yield result


def _note(piece: Piece) -> Callable[[VideoState], None]:
    return lambda state: piece.damaged.append(state.id)
