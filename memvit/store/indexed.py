"""Searches with the index of an archive, and says what the index does not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memvit.store.index import IndexSearch
from memvit.store.index_manifest import read_manifest
from memvit.teaching.head import Reads

if TYPE_CHECKING:
    from memvit.store.archive import Archive

VIDEOS_PER_ANSWER = 3
"""For each answer that is wanted, so many videos are read."""
FEWEST_VIDEOS = 20


def chooser(
    archive: Archive, kind: Reads, top: int, on_note: Callable[[str], None] = lambda note: None
) -> Callable[[NDArray[np.float32]], set[str]] | None:
    """Return a function that chooses the videos to read for the direction of an example; None without an index.

    Videos that are not in the index are always read; `on_note` gets a sentence that says so. Raises StoreError if the
    index is damaged, or if faiss is missing.
    """
    manifest = read_manifest(archive, kind)
    if manifest is None:
        return None
    search, listed, known = IndexSearch(archive, manifest), set(archive.video_ids()), manifest.videos()
    unknown, gone = listed - known.keys(), known.keys() - listed

    def choose(direction: NDArray[np.float32]) -> set[str]:
        wanted = max(FEWEST_VIDEOS, VIDEOS_PER_ANSWER * top)
        found = set(search.videos(direction, wanted + len(gone))) & listed
        new = {video for video in unknown if (state := archive.video(video)) is not None and state.state == "done"}
        changed = [video for video in found if _digest(archive, video, kind) != known[video]]
        if new or gone or changed:
            parts = [(len(new), "not in it"), (len(gone), "removed since"), (len(changed), "changed since")]
            said = ", ".join(f"{count} videos {what}" for count, what in parts if count)
            on_note(f"the index is out of date ({said}); the answers are right, `memvit index` makes them fast again")
        return found | new

    return choose


def _digest(archive: Archive, video: str, kind: Reads) -> str | None:
    state = archive.video(video)
    return ((state.digests if state else None) or {}).get("features" if kind == "clips" else "box_features")
