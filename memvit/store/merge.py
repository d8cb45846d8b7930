"""Copies the videos of several archives of one model into one.

First every video is noted as unfinished in the new archive, then the arrays of one after the other are copied, and one
write makes it finished. So a kill leaves videos that are whole, and others that `memvit info` shows as unfinished; the
same merge again, or `memvit extract`, finishes those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from memvit.store.archive import Archive
from memvit.store.copying import copy_arrays, remove_arrays
from memvit.store.errors import StoreError, store_errors
from memvit.store.provenance import difference_of

if TYPE_CHECKING:
    from memvit.store.states import VideoState


@dataclass
class Merged:
    """What a merge has done."""

    copied: int = 0
    present: int = 0
    """Videos that were finished in the new archive before."""
    left_out: list[str] = field(default_factory=list)
    """Why videos were not copied, a sentence each."""


def merge(sources: Sequence[Archive], out: str, on_video: Callable[[VideoState], None] = lambda state: None) -> Merged:
    """Copy all finished and failed videos of archives into the one at `out`, which may be one of them.

    Of a video that several have, the first finished one counts. Hold the writer lock of `out`. Raises StoreError if
    the archives were made with different settings.
    """
    check_alike(sources)
    target, done = Archive.create(out, sources[0].provenance), Merged()
    chosen: dict[str, tuple[Archive, VideoState]] = {}
    for source in sources:
        for state in source.videos():
            if state.state not in ("done", "failed"):
                done.left_out.append(f"{state.id}: it is {_word(state)} in {source.location}")
                continue
            before = chosen.get(state.id)
            if before is None or (before[1].state == "failed" and state.state == "done"):
                chosen[state.id] = source, state
            elif state.state == "done" and before[1].state == "done" and state.digests != before[1].digests:
                done.left_out.append(f"{state.id} of {source.location}: {before[0].location} has another result of it")
    waiting = []
    for video_id, (source, state) in sorted(chosen.items()):
        known = target.video(video_id)
        if known is not None and (known.state == "done" or known == state):
            done.present += 1
        elif state.state == "failed":
            target.put(state)
            done.copied += 1
        else:
            target.put(replace(state, state="running", clips=0, people=0, digests=None, attempts=0))
            target.drop_work(video_id)
            waiting.append((source, state))
    for source, state in waiting:
        _copy(source, target, state)
        done.copied += 1
        on_video(state)
    return done


def check_alike(sources: Sequence[Archive]) -> None:
    """Raise StoreError if archives were not made with the same settings."""
    first = sources[0]
    for source in sources:
        if not source.has_persons:
            raise StoreError(f"{source.location}: archives of the first version of the layout cannot be merged")
        difference = difference_of(source.provenance.plain(), first.provenance)
        if difference is not None:
            raise StoreError(
                f"{source.location}: it was made with {difference} as in {first.location}; they cannot be one archive, "
                "but `memvit extract --as NAME` keeps results of several models in one store"
            )


def _copy(source: Archive, target: Archive, state: VideoState) -> None:
    with store_errors(target.location):
        group = target.group(state.id)
        remove_arrays(group)
        copy_arrays(source.group(state.id), group)
    if source.video(state.id) != state:
        raise StoreError(f"{source.location}: {state.id} has changed while it was copied; run the merge again")
    target.put(state)


def _word(state: VideoState) -> str:
    return "unfinished" if state.state == "running" else state.state
