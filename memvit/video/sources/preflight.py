"""Checks sources before a model is downloaded or loaded for them."""

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

    If one can be opened, the others are not tried, because a failing source does not stop the others. URLs and pipes
    are never tried: they may not exist yet, or can be read only once. Of a camera, only the device's file is checked.
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
