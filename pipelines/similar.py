"""The example of a search: a moment of the archive, or of a file that is read with the archive's own model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from memvit.store import Archive, Example, Moment
from memvit.store.similar import example_of, split_moment
from memvit.types import MemvitError
from memvit.video.sources.location import is_url

from .clock import clock

if TYPE_CHECKING:
    from memvit.engine.settings import ModelSettings


def find_example(
    archive: Archive, what: str, settings: Callable[[], ModelSettings], *, people: bool, person: int | None
) -> Example:
    """Return the clip or person at VIDEO@SECONDS, of a video of the archive or else of a file or URL.

    Only a file needs a model: that of the archive. MemvitError if there is no such moment, or if `settings` describe
    another model.
    """
    found = example_of(archive, what, people=people, person=person)
    if found is not None:
        return found
    location, seconds = split_moment(what)
    if not is_url(location) and not Path(location).exists():
        raise MemvitError(f"{location}: this is neither a video of the archive nor a file; see `memvit list`")
    from .example_of_file import example_of_file

    return example_of_file(archive, location, seconds, settings(), people=people, person=person)


def moment_text(moment: Moment) -> str:
    """An answer as a line of text: "film-1a2b3c4d  00:12  person 3  similarity 0.93"."""
    who = f"  person {moment.person}" if moment.person is not None else ""
    return f"{moment.video}  {clock(moment.seconds)}{who}  similarity {moment.similarity:.2f}"
