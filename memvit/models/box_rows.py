"""The boxes of a clip as rows of memory: a row for each person, and a few for people without a number.

Where people have numbers, each has a row of his own while he is remembered, so that what he did is never mixed with
what others did. Boxes without a number are pooled in several learned ways, in which their order does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .slots import EMPTY, SlotTokens

NOBODY = 0
"""The number in an empty box slot, and of a row that belongs to nobody."""
NO_NUMBER = -1
"""The number of a box whose person is not known."""


def memory_numbers(count: int, persons: Sequence[int] | Tensor | None) -> list[int]:
    """The numbers of people in `count` boxes, as memory counts them: from 1, so that 0 is free for nobody.

    `persons` are numbers from 0, negative for a box without one; None if no box has one. ValueError if there are more
    or fewer than boxes.
    """
    if persons is None:
        return [NO_NUMBER] * count
    if len(persons) != count:
        raise ValueError(f"there are {count} boxes and {len(persons)} numbers of people")
    return [int(number) + 1 if number >= 0 else NO_NUMBER for number in persons]


@dataclass(frozen=True)
class ClipBoxes:
    """What a box block offers to memory after a clip."""

    features: Tensor
    """(…, M, C), of M box slots."""
    scores: Tensor
    """(…, M, 1 + Q): of a box as its person's, and for each way in which boxes without a number are pooled."""


def clip_rows(boxes: ClipBoxes, persons: Tensor, rows: Tensor) -> SlotTokens:
    """The rows of clips: `persons` (…, M) int64 number of each box, `rows` (…, P) number of each row's person.

    Returns (…, P + Q, C): first the rows of people, then those of boxes without a number.
    """
    own = (persons[..., None, :] == rows[..., None]) & (rows[..., None] != NOBODY)
    of_people = torch.where(own, boxes.scores[..., None, :, 0].float(), EMPTY)
    unknown = (persons == NO_NUMBER)[..., None, :]
    of_others = torch.where(unknown, boxes.scores[..., 1:].transpose(-1, -2).float(), EMPTY)
    scores = torch.cat((of_people, of_others), dim=-2)
    features = torch.matmul(scores.softmax(-1).to(boxes.features.dtype), boxes.features)
    return SlotTokens((features,), scores.logsumexp(-1))


@dataclass(frozen=True)
class PersonRows:
    """Which person each row of one stream belongs to, in plain numbers: nothing waits for a device."""

    persons: tuple[int, ...]
    """The number of each row's person; `NOBODY` for a free row."""
    seen: tuple[int, ...]
    """The clip, counted from 1, in which each row's person was seen last."""
    since: tuple[int, ...]
    """The clip in which the person got the row. What he did before, in a row that he lost, is forgotten."""
    clips: int = 0
    """How many clips the stream has seen."""

    @staticmethod
    def free(count: int) -> PersonRows:
        """Rows of a stream that has seen nobody."""
        return PersonRows((NOBODY,) * count, (0,) * count, (0,) * count)

    def after(self, persons: Sequence[int]) -> PersonRows:
        """The rows after a clip with these people. Newcomers get free rows, then those of the longest absent."""
        present = [person for person in persons if person > NOBODY]
        rows, seen, since, clip = list(self.persons), list(self.seen), list(self.since), self.clips + 1
        for person in present:
            if person in rows:
                seen[rows.index(person)] = clip
        for person in present:
            if person in rows or not rows:
                continue
            place = min(range(len(rows)), key=lambda row: (rows[row] != NOBODY, seen[row]))
            if rows[place] == NOBODY or seen[place] < clip:  # people of this clip keep their rows
                rows[place] = person
                seen[place] = since[place] = clip
        return PersonRows(tuple(rows), tuple(seen), tuple(since), clip)

    def given_up(self, after: PersonRows) -> list[int]:
        """The rows whose person is another one in `after`: what they hold must be forgotten."""
        return [row for row, (old, new) in enumerate(zip(self.persons, after.persons, strict=True)) if old != new]


def owners(people: Sequence[PersonRows], device: torch.device) -> tuple[Tensor, Tensor]:
    """(B, P) int64 each: the number of each row's person, and the clip in which the person got the row."""
    table = torch.tensor([[rows.persons, rows.since] for rows in people], dtype=torch.long)
    persons, since = table.view(len(people), 2, -1).to(device).unbind(1)
    return persons, since
