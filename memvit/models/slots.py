"""Memory in slots: every past clip lies in exactly one slot, and slots grow with age, so that few hold minutes.

A slot is the mean of its clips, token by token, weighted by the softmax of a learned score. It is stored with the
logarithm of the sum of its clips' exponentials, so two slots merge exactly: the result is the slot that the clips of
both would have made together.

Slots are kept by the logarithmic method. Level k holds at most two slots of 2^k clips. A new clip goes to level 0; when
a third slot comes to a level, the older two merge and go to the next level. At the highest level the older two merge
and stay, so that nothing is ever lost. Each slot of each level has a place of its own, the oldest first: the place says
how old the clips are, on a logarithmic scale, and memory takes the same space at every age.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

EMPTY = -6e4
"""The log weight of a token that no clip has given anything to. Its share in a merge with any other is exactly 0."""


@dataclass(frozen=True)
class SlotTokens:
    """Tokens of a clip or of slots: weighted means, and the log of the sum of their exponential scores."""

    contents: tuple[Tensor, ...]
    """(…, N, C) each, of one shape: keys and values of a layer, or features of boxes."""
    log_weights: Tensor
    """(…, N), float32."""


def merged(first: SlotTokens, second: SlotTokens) -> SlotTokens:
    """The slots of the clips of both, exactly; shapes are alike."""
    share = torch.sigmoid(first.log_weights - second.log_weights)[..., None]
    contents = tuple(
        second_part + share.to(second_part.dtype) * (first_part - second_part)
        for first_part, second_part in zip(first.contents, second.contents, strict=True)
    )
    return SlotTokens(contents, torch.logaddexp(first.log_weights, second.log_weights))


def pooled(clips: SlotTokens, member: Tensor) -> SlotTokens:
    """Slots of clips: contents (B, H, N, C), log weights (B, H, N), `member` (B, S, H) bool → (B, S, N, …).

    Tokens of a slot without clips have a log weight of about `EMPTY`.
    """
    scores = torch.where(member[..., None], clips.log_weights[:, None], EMPTY)
    shares = scores.softmax(2)
    contents = tuple(torch.einsum("bshn,bhnc->bsnc", shares.to(content.dtype), content) for content in clips.contents)
    return SlotTokens(contents, scores.logsumexp(2))


def slot_counts(ages: Tensor, slots: int) -> Tensor:
    """How many slots of each level are filled after so many clips: (B,) → (B, slots / 2), each 0, 1 or 2."""
    counts, arrived = [], ages
    for _ in range(slots // 2 - 1):
        counts.append(torch.where(arrived > 0, 2 - arrived % 2, 0))
        arrived = (arrived - 1).clamp(min=0) // 2
    counts.append(arrived.clamp(max=2))
    return torch.stack(counts, dim=1)


def filled_slots(ages: Tensor, slots: int) -> Tensor:
    """(B,) clips seen → (B, slots) bool, oldest first: which slots hold clips."""
    counts = slot_counts(ages, slots)
    return torch.stack((counts >= 1, counts == 2), dim=2).flatten(1).flip(1)


def slot_ranges(ages: Tensor, slots: int) -> tuple[Tensor, Tensor]:
    """Which past clips each slot holds: first and last offset in clips, (B, slots) each, the oldest slot first.

    Offset 1 is the newest clip. The first is larger than the last where a slot is empty.
    """
    filled = filled_slots(ages, slots).flip(1)
    sizes = (2 ** torch.arange(slots // 2, device=ages.device))[:, None].expand(-1, 2).reshape(-1)
    lengths = torch.where(filled, sizes, 0)
    before = lengths.cumsum(1) - lengths
    last = before + lengths
    last[:, -1] = torch.where(filled[:, -1], ages, last[:, -1])  # the oldest slot holds all clips that are older
    return (before + 1).flip(1), last.flip(1)


def slot_members(ages: Tensor, slots: int, clips: int) -> Tensor:
    """Which of the last `clips` clips each slot holds, both oldest first: (B,) → (B, slots, clips) bool."""
    first, last = slot_ranges(ages, slots)
    offsets = torch.arange(clips, 0, -1, device=ages.device)
    return (offsets >= first[..., None]) & (offsets <= last[..., None])


@dataclass(frozen=True)
class SlotWrite:
    """New tokens for one slot of some streams."""

    rows: list[int]
    """Which of the streams."""
    slot: int
    tokens: SlotTokens
    """Of these streams: (rows, N, C) and (rows, N)."""


def insertion(
    slots: SlotTokens, ages: Sequence[int], clip: SlotTokens, rows: Sequence[int] | None = None
) -> list[SlotWrite]:
    """What changes when streams of these ages see one more clip; nothing is written yet.

    `slots` is (R, S, N, …), `clip` is (B, N, …); stream i lies in row `rows[i]`, or in row i. A slot that becomes empty
    keeps its content, since `filled_slots` says that it is empty. On the average a clip costs one merge.
    """
    number = slots.log_weights.shape[1]
    counts = slot_counts(torch.tensor(ages, dtype=torch.long), number).tolist()
    places = list(range(len(ages))) if rows is None else list(rows)
    alive, writes = list(range(len(ages))), []
    for level in range(number // 2):
        older = number - 2 - 2 * level
        newer = older + 1
        waiting = [stream for stream in alive if counts[stream][level] == 1]
        full = [stream for stream in alive if counts[stream][level] == 2]
        if waiting:
            at = [places[stream] for stream in waiting]
            writes.append(SlotWrite(at, older, _slot(slots, at, newer)))
        writes.append(SlotWrite([places[stream] for stream in alive], newer, clip))
        if not full:
            break
        at = [places[stream] for stream in full]
        clip = merged(_slot(slots, at, older), _slot(slots, at, newer))
        if level == number // 2 - 1:
            writes.append(SlotWrite(at, older, clip))
        alive = full
    return writes


def write_slots(slots: SlotTokens, writes: Sequence[SlotWrite]) -> None:
    """Write into `slots`, in place."""
    for write in writes:
        for target, source in zip(slots.contents, write.tokens.contents, strict=True):
            target[write.rows, write.slot] = source.to(target.dtype)
        slots.log_weights[write.rows, write.slot] = write.tokens.log_weights


def _slot(slots: SlotTokens, rows: list[int], slot: int) -> SlotTokens:
    return SlotTokens(tuple(part[rows, slot] for part in slots.contents), slots.log_weights[rows, slot])
