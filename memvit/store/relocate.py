"""Finds the files of an archive's videos where they have moved to, by their fingerprints, and notes the new places.

A video keeps its id. To note a new place is one write of its attributes, so a kill leaves the old place or the new one.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from memvit.store.errors import StoreError
from memvit.store.fingerprint import fingerprint
from memvit.video.sources.location import is_url

if TYPE_CHECKING:
    from memvit.store.archive import Archive
    from memvit.store.states import VideoState


@dataclass(frozen=True)
class Move:
    """A video whose file was found at another place."""

    state: VideoState
    """As it is in the archive."""
    location: str
    """Where its file is now."""


def is_missing(state: VideoState) -> bool:
    """Whether a video's file is not where it was; of a URL that is not known."""
    return bool(state.location) and not is_url(state.location) and not os.path.exists(state.location)  # noqa: PTH110


def moves_into(states: Iterable[VideoState], old: str, new: str) -> Iterator[Move]:
    """Yield where the files of videos from `old`, a file or folder, are below `new`, a file or folder.

    The same path below `new` is tried first, then every file of the same size. Raises StoreError if there is no `new`.
    """
    before, now = Path(old).absolute(), Path(new).absolute()
    if not now.exists():
        raise StoreError(f"{new}: there is no such file or folder; check the path")
    left = []
    for state in states:
        if state.fingerprint is None or is_url(state.location) or not _is_below(Path(state.location), before):
            continue
        place = now / Path(state.location).relative_to(before) if now.is_dir() else now
        if str(place) != state.location and _has_content(state, place):
            yield Move(state, str(place))
        elif str(place) != state.location:
            left.append(state)
    yield from found_below(left, now)


def found_below(states: Iterable[VideoState], folder: Path) -> Iterator[Move]:
    """Yield where the files of videos are in a folder and all below it, whatever their names."""
    by_size: dict[int, list[VideoState]] = defaultdict(list)
    for state in states:
        if state.fingerprint is not None:
            by_size[state.fingerprint.size].append(state)
    if not by_size or not folder.is_dir():
        return
    for above, _, names in os.walk(folder):
        for name in sorted(names):
            place = Path(above) / name
            try:
                alike = by_size.get(place.stat().st_size, [])
                found = fingerprint(str(place)) if alike and place.is_file() else None
            except OSError:
                continue  # It cannot be read, so it cannot be compared.
            for state in list(alike) if found is not None else ():
                if state.fingerprint is not None and found is not None and found.is_same(state.fingerprint):
                    alike.remove(state)
                    yield Move(state, str(place))
                    break


def note_move(archive: Archive, move: Move) -> VideoState:
    """Write the new place of a video, and return its state."""
    state = replace(move.state, location=move.location)
    archive.put(state)
    return state


def _is_below(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents


def _has_content(state: VideoState, place: Path) -> bool:
    try:
        found = fingerprint(str(place))
    except OSError:
        return False
    return found is not None and state.fingerprint is not None and found.is_same(state.fingerprint)
