"""Finds videos of an archive by what people call them: id, location or file name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from memvit.store.errors import StoreError

if TYPE_CHECKING:
    from memvit.store.archive import Archive
    from memvit.store.states import VideoState


def named_videos(archive: Archive, names: Iterable[str]) -> dict[str, VideoState]:
    """Return the video of each name; names of no video are left out.

    A name is an id, or a location or file name that no other video has. Raises StoreError if several videos have it.
    """
    wanted = list(dict.fromkeys(names))
    found: dict[str, VideoState] = {}
    for name in wanted:
        state = archive.video(name)
        if state is not None:
            found[name] = state
    left = {name for name in wanted if name not in found}
    for state in archive.videos() if left else ():
        for name in {state.location, state.location.rpartition("/")[2]} & left:
            if name in found:
                ids = f"{found[name].id}, {state.id}"
                raise StoreError(f"{name}: several videos of the archive have this name ({ids}); use the id of one")
            found[name] = state
    return found
