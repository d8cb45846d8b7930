"""A first look at sources, before a model is downloaded or loaded for them."""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from memvit.types import SourceError
from memvit.video.sources.location import is_camera, is_url
from memvit.video.sources.open import open_source
from memvit.video.sources.source import Source


def check_sources(locations: Sequence[str], open_one: Callable[[str], Source] = open_source) -> None:
    """SourceError with a line for each source if none of them can be opened.

    Where one can, the others are left for later: a source that fails stops no other. Addresses, cameras and pipes are
    not tried, as they may not be there yet, or can be read once only; of a camera, only the device is looked for.
    """
    failures = []
    for location in locations:
        if is_url(location) or (is_camera(location) and Path(location).exists()) or _is_pipe(location):
            return
        try:
            open_one(location).close()
            return
        except SourceError as error:
            failures.append(str(error))
    if failures:
        raise SourceError("\n".join(failures))


def _is_pipe(location: str) -> bool:
    try:
        mode = Path(location).stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
