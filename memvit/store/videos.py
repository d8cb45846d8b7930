"""Reads the finished videos of an archive one after the other, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeVar

from memvit.store.errors import StoreError, store_errors
from memvit.store.parallel import in_order
from memvit.video.sources.location import source_name

if TYPE_CHECKING:
    from memvit.store.archive import Archive
    from memvit.store.provenance import Provenance
    from memvit.store.states import VideoState

Found = TypeVar("Found")


def read_videos(
    archive: Archive,
    read: Callable[[VideoState], Found],
    pattern: str | None = None,
    on_damaged: Callable[[VideoState], None] | None = None,
    only: Collection[str] | None = None,
) -> Iterator[Found]:
    """Yield what `read` returns for each finished video, in the order of their ids; see `is_chosen` for `pattern`.

    Of all videos, or of those with the ids `only`.

    `read` is called in several threads. A video that it cannot read is passed to `on_damaged`. Raises StoreError if
    that is None, or if the store cannot be read.
    """

    def attempt(video_id: str) -> tuple[VideoState, list[Found] | None] | None:
        state = archive.video(video_id)
        if state is None or state.state not in ("done", "damaged") or not is_chosen(state, pattern):
            return None
        try:
            with store_errors(archive.location):
                return state, [read(state)] if state.state == "done" else None
        except StoreError:
            raise
        except Exception:  # A damaged document or chunk leads to exceptions of many types.
            return state, None

    for outcome in in_order(attempt, archive.video_ids() if only is None else sorted(only)):
        if outcome is None:
            continue
        state, found = outcome
        if found is not None:
            yield from found
        elif on_damaged is None:
            raise StoreError(f"{archive.location}: {damage_of(state.id)}")
        else:
            on_damaged(state)


def is_chosen(state: VideoState, pattern: str | None) -> bool:
    """Whether a shell pattern is that of a video's id, location or file name; None is the pattern of every video."""
    names = (state.id, state.location, source_name(state.location), state.location.rpartition("/")[2])
    return pattern is None or any(fnmatchcase(name, pattern) for name in names)


def damage_of(video_id: str) -> str:
    """Say that a video cannot be read, and what to do."""
    return f"the arrays of {video_id} are damaged; `memvit extract … --verify` repairs them"


def hop_of(provenance: Provenance) -> float:
    """Return the time from clip to clip in seconds."""
    return float(provenance.sampling.get("hop_seconds", 1.0))
