"""Which moments are worth labelling next: what `memvit teach --suggest` names, for the page."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from memvit.store import Archive
from memvit.store.examples import Taught, suggest, teach
from memvit.teaching.head import Reads
from memvit.teaching.moments import Moment
from pipelines.teach import NOT_BOTH_KINDS, has_both_kinds, places_of, reads_without_head, taught_text

from .search import Part

MOST_FILMS = 128
"""So many films, drawn anew each time, are looked at; reading all of a large archive would take too long."""
NAME = "This action"


@dataclass(frozen=True)
class Suggested:
    """Moments to label."""

    questions: list[dict[str, Any]]
    """Those of which the head is least sure come first."""
    reads: Reads
    """Whether they are of people or of whole clips."""
    about: str
    """How good the labels are so far, in words."""
    films: int
    """How many films were looked at: some of those that can be shown."""


def suggest_moments(
    archive: Archive,
    ids: Sequence[str],
    labels: Sequence[Moment],
    count: int,
    reads: Reads | None,
    asked: Sequence[tuple[str, float, int | None]] = (),
    can_be_shown: Callable[[str], bool] = lambda film: True,
) -> Suggested:
    """Choose moments of some of the films, other ones than `asked` (video, seconds, person).

    Of films that cannot be shown nothing is asked: nobody could answer.

    MemvitError if the labels do not fit the archive.
    """
    taught: Taught | None = None
    if has_both_kinds(labels):
        taught = teach(archive, labels, NAME, reads=reads)
    looked_at = list(ids)
    if len(looked_at) > MOST_FILMS:
        looked_at = sorted(random.Random(len(labels) + len(asked)).sample(looked_at, MOST_FILMS))
    looked_at = [film for film in looked_at if can_be_shown(film)]
    chosen = taught.head.reads if taught is not None else reads_without_head(archive, reads)
    found = suggest(Part(archive, looked_at), count, taught=taught, reads=chosen, known=[*places_of(labels), *asked])
    questions = [
        {
            "video": one.video,
            "seconds": round(one.seconds, 3),
            "person": one.person,
            "score": None if one.score is None else round(one.score, 4),
        }
        for one in found
    ]
    about = taught_text(taught) if taught is not None else NOT_BOTH_KINDS
    return Suggested(questions, chosen, about, len(looked_at))
