"""The ids of videos: each is the name of a group of the archive, so none leads out of it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from memvit.store.documents import DOCUMENT
from memvit.store.errors import StoreError
from memvit.store.opening import UNFINISHED
from memvit.video.sources.location import is_url, source_name

MAX_NAME = 80


def video_id(location: str, number: int = 0) -> str:
    """Return a unique and readable name for a location: the stem of its file and a hash of its whole path or URL.

    `number` makes another one, where a video that was there before and has moved has the first.
    """
    whole = location if is_url(location) else str(Path(location).absolute())
    whole += f"#{number}" if number else ""
    stem = re.sub(r"[^\w.-]+", "_", source_name(location))[:MAX_NAME]
    return f"{stem}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def is_id(text: str) -> bool:
    """Whether a text can be the id of a video: a name within its folder, and none that Zarr itself uses."""
    is_name = text not in ("", ".", "..", DOCUMENT) and not re.search(r"[/\\\x00-\x1f]", text)
    return is_name and not text.endswith(UNFINISHED)


def group_of(above: str, video: str) -> str:
    """Return the path of the group of a video below `videos` or `work`. Raises StoreError if its id is none."""
    if not is_id(video):
        raise StoreError(f"{video!r} is not the id of a video; `memvit list` shows the ids")
    return f"{above}/{video}"
