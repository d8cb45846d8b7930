"""An archive that is open for reading, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memvit.store.archive import Archive
from memvit.store.errors import StoreError
from memvit.store.examples import Question, Taught, suggest, teach
from memvit.store.find import Interval, Query, find
from memvit.store.indexed import chooser
from memvit.store.similar import Example, Moment, example_of, similar
from memvit.teaching.head import Head, Reads
from memvit.teaching.moments import read_moments


class Library(Archive):
    """An archive that is open for reading."""

    def find(
        self,
        actions: str | Sequence[str] = (),
        *,
        min_score: float = 0.5,
        min_seconds: float = 0.0,
        merge_seconds: float = 0.0,
        person: int | None = None,
        video: str | None = None,
        heads: Sequence[Head] = (),
    ) -> Iterator[Interval]:
        """Yield when somebody does one of some actions, or of some that were taught, see `Query`.

        Raises StoreError if an action is unknown or a video is damaged, HeadError if a head is of another model.
        """
        names = (actions,) if isinstance(actions, str) else tuple(actions)
        return find(self, Query(names, min_score, min_seconds, merge_seconds, person, video, tuple(heads)))

    def teach(self, labels: str | Path, name: str, *, reads: Reads | None = None) -> Taught:
        """Teach an action from a CSV file of labelled moments (`memvit.teaching.moments`).

        `reads` is "people" or "clips"; by default people if a label names one. Save the head with
        `memvit.teaching.save_head`. Raises MemvitError if the file is malformed or has no labels of
        both kinds.
        """
        return teach(self, read_moments(labels).moments, name, reads=reads)

    def suggest(
        self, count: int = 20, *, taught: Taught | None = None, reads: Reads = "clips", video: str | None = None
    ) -> list[Question]:
        """Return moments that are worth labelling: uncertain for the head, and different from each other.

        Without a head they are only different, and of people or clips as `reads` says.
        """
        return suggest(self, count, taught=taught, reads=reads, video=video)

    def similar(
        self,
        what: str | NDArray[np.floating[Any]],
        *,
        people: bool = False,
        person: int | None = None,
        top: int = 10,
        every: bool = False,
        video: str | None = None,
        exact: bool = False,
    ) -> list[Moment]:
        """Return the clips, or with `people` the people, that are most like an example, best first.

        `what` is VIDEO@SECONDS of this archive, or a vector of features; `person` says who of several people is meant.
        With an index (`memvit index`) only videos that it chooses are read, unless `exact` or a `video` is named. See
        `memvit.store.similar.similar` for the others. Raises StoreError if there is no such example, or if a video
        is damaged.
        """
        example = example_of(self, what, people=people, person=person) if isinstance(what, str) else Example(what)
        if example is None:
            raise StoreError(f"{what}: there is no such video in the archive")
        choose = None if exact or video is not None else chooser(self, "people" if people else "clips", top)
        return similar(self, example, people=people, top=top, every=every, video=video, choose=choose)
