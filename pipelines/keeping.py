"""Removes videos from an archive, notes where their files have moved to, and merges archives; each with its lock.

Also makes and updates the index of an archive."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from memvit.store import Archive, VideoState, writer_lock
from memvit.store.errors import StoreError
from memvit.store.index import Updated, update_index
from memvit.store.merge import Merged, check_alike, merge
from memvit.store.named import named_videos
from memvit.store.relocate import Move, moves_into, note_move
from memvit.store.videos import is_chosen
from memvit.teaching.head import Reads
from memvit.video.sources.location import is_url


@dataclass
class Removed:
    """What was removed."""

    videos: list[str] = field(default_factory=list)
    """Ids."""
    bytes: int = 0


def absolute(store: str) -> str:
    """A path as an absolute one, so that every command takes the same lock; a URL as it is."""
    return store if is_url(store) else str(Path(store).absolute())


def chosen_videos(archive: Archive, names: Sequence[str]) -> list[VideoState]:
    """Return videos by id, location, file name or shell pattern. Raises StoreError if a name is that of none."""
    found = named_videos(archive, names)
    left = [name for name in names if name not in found]
    chosen = {state.id: state for state in found.values()}
    states = list(archive.videos()) if left else []
    for name in left:
        alike = [state for state in states if is_chosen(state, name)]
        if not alike:
            raise StoreError(f"{name}: there is no such video in the archive; see `memvit list`")
        chosen |= {state.id: state for state in alike}
    return [chosen[video] for video in sorted(chosen)]


def remove(store: str, names: Sequence[str], *, dry_run: bool = False) -> Removed:
    """Remove videos with all their results; without names, finish removals that were killed.

    Raises StoreError if a name is that of no video; then nothing is removed.
    """
    store, done = absolute(store), Removed()
    if dry_run:
        archive = Archive.open(store)
        for state in chosen_videos(archive, names):
            done.bytes += archive.object_bytes(state.id)
            done.videos.append(state.id)
        return done
    Archive.open(store)  # A lock is only made for an archive that exists.
    with writer_lock(store) as held:
        archive = Archive.open(store, writable=True)
        for video_id in archive.video_ids():
            if archive.half_removed(video_id):
                done.bytes += archive.object_bytes(video_id)
                archive.forget(video_id)
                done.videos.append(video_id)
        for state in chosen_videos(archive, [name for name in names if name not in done.videos]):
            size = archive.object_bytes(state.id)
            held.check()
            archive.forget(state.id)
            done.videos.append(state.id)
            done.bytes += size
    return done


@dataclass
class Relocated:
    """What was noted."""

    moves: list[Move] = field(default_factory=list)
    not_found: list[VideoState] = field(default_factory=list)
    """Videos from the old place whose file was not found at the new one."""
    taken: list[Move] = field(default_factory=list)
    """Files that are those of another video already."""


def relocate(store: str, old: str, new: str, *, dry_run: bool = False) -> Relocated:
    """Note that files have moved from `old` to `new`. Nothing is extracted again.

    Raises StoreError if no video is from `old`, or if there is no `new`.
    """
    if is_url(old) or is_url(new):
        raise StoreError(f"{old if is_url(old) else new}: a URL has no fingerprint, so only files can be relocated")
    store, done = absolute(store), Relocated()
    archive = Archive.open(store, writable=not dry_run)
    if dry_run:
        return _relocate(archive, old, new, done, dry_run=True)
    with writer_lock(store) as held:
        held.check()
        return _relocate(archive, old, new, done, dry_run=False)


def _relocate(archive: Archive, old: str, new: str, done: Relocated, *, dry_run: bool) -> Relocated:
    states, before = list(archive.videos()), Path(old).absolute()
    wanted = {
        state.id: state
        for state in states
        if state.location and not is_url(state.location) and Path(state.location).is_relative_to(before)
    }
    if not wanted:
        raise StoreError(f"{old}: no video of the archive is from there; see `memvit list`")
    places = {state.location: state.id for state in states}
    for move in moves_into(wanted.values(), old, new):
        if places.get(move.location, move.state.id) != move.state.id:
            done.taken.append(move)
            continue
        places[move.location] = move.state.id
        done.moves.append(move)
        if not dry_run:
            note_move(archive, move)
    found = {move.state.id for move in [*done.moves, *done.taken]}
    done.not_found = [state for video, state in sorted(wanted.items()) if video not in found]
    return done


def merge_archives(
    stores: Sequence[str], out: str, on_video: Callable[[VideoState], None] = lambda state: None
) -> Merged:
    """Copy the videos of archives into one. Raises StoreError if they were made with different settings."""
    sources = [Archive.open(absolute(store)) for store in stores]
    check_alike(sources)
    with writer_lock(absolute(out)) as held:
        done = merge(sources, absolute(out), on_video)
        held.check()
    return done


def index(store: str, reads: str | None, *, rebuild: bool = False) -> Iterator[tuple[Reads, Updated]]:
    """Make or update the index of clips, of people, or of both. Raises StoreError if faiss is missing."""
    store = absolute(store)
    kinds: tuple[Reads, ...] = ("clips", "people") if Archive.open(store).provenance.boxes else ("clips",)
    with writer_lock(store) as held:
        archive = Archive.open(store, writable=True)
        for kind in kinds:
            if reads in (None, kind):
                yield kind, update_index(archive, kind, rebuild=rebuild)
                held.check()
