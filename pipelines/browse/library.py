"""What the browser shows of an archive: films page by page, strips, moments, searches, pictures and labels."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memvit.store import Archive, Example, Query, VideoState
from memvit.store.find import columns_of
from memvit.store.heads import check_heads
from memvit.store.lock import writer_of
from memvit.store.parallel import in_order
from memvit.store.similar import example_of
from memvit.store.videos import hop_of
from memvit.teaching import Head, HeadError, load_head
from memvit.teaching.head import Reads
from memvit.teaching.moments import parse_moments
from memvit.types import MemvitError
from memvit.video.sources.location import redact, source_name

from .film_file import FilmFiles, film_name
from .labels import LabelFile, Labelled
from .moments import moment_of
from .pictures import PictureMaker
from .search import Films, Piece, choose_films, search_actions, search_similar
from .strips import strip_of
from .suggesting import Suggested, suggest_moments

IDS_SECONDS = 2.0
"""The list of films is read again when it is older."""
STATES_SECONDS = 10.0
"""The states of all films are read again when they are older."""
STRIPS_KEPT = 512
CHOICES_KEPT = 16
"""So many choices of the index are kept for the pieces of a search."""
MAX_SEARCHES = 2
"""Searches that read the archive at a time."""


class UnknownFilm(MemvitError):
    """The archive has no such film."""


class TooManySearches(MemvitError):
    """Others are searching; ask again."""


@dataclass(frozen=True)
class BrowseOptions:
    """What is shown."""

    store: str
    """Path or URL of the archive."""
    labels: Path | None = None
    """CSV file into which labels are written; None offers no labels."""
    heads: tuple[Path, ...] = ()
    """Files of taught actions, which can be searched for."""
    all_heads_fit: bool = True
    """Whether a head of another model is an error; it is left out otherwise."""


class FilmLibrary:
    """An archive that is shown; every method may be called in any thread."""

    def __init__(self, options: BrowseOptions) -> None:
        """MemvitError if there is no archive, or the labels or a head cannot be read."""
        self.archive = Archive.open(options.store)
        self.labels = LabelFile(options.labels) if options.labels is not None else None
        self.heads = self._fitting_heads(options)
        self.files = FilmFiles()
        self.pictures = PictureMaker(self.files)
        self._store = options.store
        self._ids: tuple[float, list[str]] = (-IDS_SECONDS, [])
        self._states: tuple[float, dict[str, VideoState]] = (-STATES_SECONDS, {})
        self._states_lock = threading.Lock()
        self._strips: OrderedDict[tuple[object, ...], dict[str, Any]] = OrderedDict()
        self._choices: OrderedDict[tuple[object, ...], Films] = OrderedDict()
        self._lock = threading.Lock()
        self._searches = threading.Semaphore(MAX_SEARCHES)

    def _fitting_heads(self, options: BrowseOptions) -> dict[str, Head]:
        found = {}
        for head in map(load_head, options.heads):
            try:
                check_heads(self.archive.provenance, [head])
                found[head.name] = head
            except HeadError:
                if options.all_heads_fit:
                    raise
        return found

    def info(self) -> dict[str, Any]:
        """What does not depend on a film."""
        made_with = self.archive.provenance
        return {
            "name": source_name(self._store.rstrip("/")),
            "model": made_with.model,
            "actions": list(made_with.classes),
            "taught": list(self.heads),
            "has_people": bool(made_with.boxes),
            "hop_seconds": hop_of(made_with),
            "films": len(self.ids()),
            "labels": self.labels.path.name if self.labels is not None else None,
        }

    def ids(self) -> list[str]:
        """Ids of all films, sorted."""
        at, ids = self._ids
        if time.monotonic() - at > IDS_SECONDS:
            ids = self.archive.video_ids()
            self._ids = time.monotonic(), ids
        return ids

    def films(self, text: str, state: str | None, offset: int, limit: int) -> dict[str, Any]:
        """A page of the films with a text in their name and, if that is asked for, in one state."""
        ids = self._named(text)
        writer = writer_of(self._store)
        if state is None:
            shown = [found for found in in_order(self.archive.video, ids[offset : offset + limit]) if found is not None]
            return {"films": [self._film(one, writer) for one in shown], "count": len(ids)}
        states = self._states_of_all()
        chosen = [film_id for film_id in ids if film_id in states and shown_state(states[film_id], writer) == state]
        return {
            "films": [self._film(states[film_id], writer) for film_id in chosen[offset : offset + limit]],
            "count": len(chosen),
        }

    def _states_of_all(self) -> dict[str, VideoState]:
        """The states of all films, read a few seconds ago at most: that takes a second for thousands of films."""
        with self._states_lock:
            at, states = self._states
            if time.monotonic() - at > STATES_SECONDS:
                states = {state.id: state for state in self.archive.videos()}
                self._states = time.monotonic(), states
            return states

    def film(self, film_id: str) -> dict[str, Any]:
        """One film."""
        return self._film(self.state(film_id), writer_of(self._store))

    def state(self, film_id: str) -> VideoState:
        """The state of a film. UnknownFilm if there is none; the id never leads out of the archive."""
        if film_id not in set(self.ids()) or (found := self.archive.video(film_id)) is None:
            raise UnknownFilm("there is no such film in the archive")
        return found

    def strip(self, film_id: str, parts: int, rows: int, actions: Sequence[str]) -> dict[str, Any]:
        """When which action happens in a film."""
        state = self._done(film_id)
        columns = columns_of(self.archive.provenance, actions) if actions else None
        key = (film_id, tuple(sorted((state.digests or {}).items())), parts, rows, tuple(columns or ()))
        with self._lock:
            if key in self._strips:
                self._strips.move_to_end(key)
                return self._strips[key]
        with _damage(film_id):
            made = strip_of(self.archive, state, parts=parts, rows=rows, columns=columns).to_record()
        with self._lock:
            self._strips[key] = made
            if len(self._strips) > STRIPS_KEPT:
                self._strips.popitem(last=False)
        return made

    def moment(self, film_id: str, seconds: float) -> dict[str, Any]:
        """Who is where, and does what."""
        state = self._done(film_id)
        with _damage(film_id):
            return moment_of(self.archive, state, seconds)

    def query(
        self,
        actions: Sequence[str],
        taught: Sequence[str],
        min_score: float,
        min_seconds: float,
        merge_seconds: float,
        person: int | None,
    ) -> Query:
        """What is looked for. MemvitError if a taught action is unknown."""
        if unknown := set(taught) - self.heads.keys():
            raise MemvitError(f"no taught action is called {unknown.pop()!r}; start the server with its --head")
        heads = tuple(self.heads[name] for name in taught)
        return Query(tuple(actions), min_score, min_seconds, merge_seconds, person, heads=heads)

    def find(self, query: Query, text: str, after: str | None, limit: int) -> Piece:
        """Intervals of actions in the next films after one of them; the best so many."""
        with self._searching():
            return search_actions(self.archive, self._named(text), query, after, limit)

    def similar(
        self,
        film_id: str,
        seconds: float,
        person: int | None,
        people: bool,
        text: str,
        exact: bool,
        after: str | None,
        limit: int,
    ) -> Piece:
        """What looks like a moment, in the next films after one of them.

        As `memvit similar` does, it reads the films that the index chooses, if there is one, unless films are named
        or `exact` is asked for.
        """
        self._done(film_id)
        with self._searching(), _damage(film_id):
            example = example_of(self.archive, f"{film_id}@{seconds!r}", people=people, person=person)
            if example is None:
                raise UnknownFilm("there is no such film in the archive")
            films = Films(self._named(text))
            if not exact and not text:
                key = (film_id, example.seconds, example.person, people, limit)
                films = self._chosen(key, example, people, after is not None, limit)
            return search_similar(self.archive, films, example, after, limit, people=people)

    def _chosen(self, key: tuple[object, ...], example: Example, people: bool, is_begun: bool, limit: int) -> Films:
        """What the index chooses; all pieces of a search get the same films."""
        with self._lock:
            found = self._choices.get(key) if is_begun else None
        if found is None:
            found = choose_films(self.archive, self.ids(), example, limit, people=people)
        with self._lock:
            self._choices[key] = found
            self._choices.move_to_end(key)
            if len(self._choices) > CHOICES_KEPT:
                self._choices.popitem(last=False)
        return found

    def suggest(self, count: int, reads: Reads | None, asked: Sequence[Labelled]) -> Suggested:
        """Moments that are worth labelling next, and were not asked about yet.

        MemvitError if there is no file of labels, or if it does not fit the archive.
        """
        labels = self.label_file()
        with self._searching():
            moments = parse_moments(labels.text(), str(labels.path)).moments
            return suggest_moments(self.archive, self.ids(), moments, count, reads, asked, self._can_be_shown)

    def _can_be_shown(self, film_id: str) -> bool:
        found = self.archive.video(film_id)
        return found is not None and found.state == "done" and self.files.why_missing(found) is None

    def label_file(self) -> LabelFile:
        """The file of labels. MemvitError if there is none."""
        if self.labels is None:
            raise MemvitError("this server keeps no labels; start it with --labels FILE.csv")
        return self.labels

    def picture(self, film_id: str, start_seconds: float, size: Any) -> bytes:
        """Frames of a film as a JPEG."""
        return self.pictures.picture(self.state(film_id), start_seconds, size)

    def _named(self, text: str) -> list[str]:
        wanted = re.sub(r"[^\w.-]+", "_", text.strip()).casefold()
        return [film_id for film_id in self.ids() if wanted in film_id.casefold()] if wanted else self.ids()

    def _done(self, film_id: str) -> VideoState:
        state = self.state(film_id)
        if state.state != "done":
            raise MemvitError(f"this film is {shown_state(state, None)} in the archive")
        return state

    def _film(self, state: VideoState, writer: str | None) -> dict[str, Any]:
        is_done = state.state == "done"
        return {
            "id": state.id,
            "name": film_name(state),
            "location": redact(state.location),
            "state": shown_state(state, writer),
            "seconds": state.duration_seconds,
            "clips": state.clips,
            "persons": state.persons,
            "reason": state.reason,
            "missing": self.files.why_missing(state) if is_done else None,
        }

    @contextmanager
    def _searching(self) -> Iterator[None]:
        if not self._searches.acquire(timeout=2):
            raise TooManySearches("others are searching; try again in a moment")
        try:
            yield
        finally:
            self._searches.release()


def shown_state(state: VideoState, writer: str | None) -> str:
    """The state that is shown; `writer` is who writes to the archive, if anybody does."""
    return "unfinished" if state.state == "running" and writer is None else state.state


@contextmanager
def _damage(film_id: str) -> Iterator[None]:
    """A damaged array leads to exceptions of many types."""
    try:
        yield
    except MemvitError:
        raise
    except Exception as error:
        raise MemvitError(f"{film_id} is damaged in the archive; `memvit extract … --verify` repairs it") from error
