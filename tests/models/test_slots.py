"""Slots: every past clip lies in exactly one, and merging as clips come equals pooling all of them at once."""

from __future__ import annotations

import pytest
import torch

from memvit.models.slots import EMPTY, SlotTokens, filled_slots, insertion, pooled, slot_members, write_slots

TOKENS, CHANNELS = 3, 5


def blank(streams: int, slots: int) -> SlotTokens:
    contents = torch.zeros(streams, slots, TOKENS, CHANNELS, dtype=torch.float64)
    return SlotTokens((contents,), torch.full((streams, slots, TOKENS), EMPTY, dtype=torch.float64))


def random_clips(streams: int, clips: int) -> SlotTokens:
    generator = torch.Generator().manual_seed(0)
    contents = torch.randn(streams, clips, TOKENS, CHANNELS, generator=generator, dtype=torch.float64)
    return SlotTokens((contents,), 3 * torch.randn(streams, clips, TOKENS, generator=generator, dtype=torch.float64))


def clip_at(clips: SlotTokens, streams: list[int], number: int) -> SlotTokens:
    return SlotTokens((clips.contents[0][streams, number],), clips.log_weights[streams, number])


@pytest.mark.parametrize("slots", [2, 4, 10])
def test_every_clip_lies_in_one_slot_and_older_clips_in_older_slots(slots: int) -> None:
    for age in [*range(1, 70), 500, 10_000]:
        member = slot_members(torch.tensor([age]), slots, age)[0]
        assert (member.sum(0) == 1).all()
        of_clips = member.int().argmax(0)
        assert (of_clips.diff() >= 0).all() and torch.equal(member.any(1), filled_slots(torch.tensor([age]), slots)[0])
        sizes = member.sum(1)[1:]  # all but the oldest, which holds the rest
        assert set(sizes.tolist()) <= {0, *(2**level for level in range(slots // 2))}
        assert all(sizes.tolist().count(2**level) <= 2 for level in range(slots // 2))


def test_merging_as_clips_come_equals_pooling_them_all() -> None:
    """Streams of different ages share each step, and lie in rows of their own."""
    slots, rows, ages = blank(4, 8), [3, 0], [0, 0]
    clips = random_clips(2, 90)
    for step in range(90):
        present = [stream for stream in (0, 1) if step % (stream + 1) == 0]
        clip = SlotTokens(
            (torch.stack([clips.contents[0][stream, ages[stream]] for stream in present]),),
            torch.stack([clips.log_weights[stream, ages[stream]] for stream in present]),
        )
        write_slots(slots, insertion(slots, [ages[s] for s in present], clip, [rows[s] for s in present]))
        for stream in present:
            ages[stream] += 1
            seen = SlotTokens(
                (clips.contents[0][stream : stream + 1, : ages[stream]],),
                clips.log_weights[stream : stream + 1, : ages[stream]],
            )
            expected = pooled(seen, slot_members(torch.tensor([ages[stream]]), 8, ages[stream]))
            filled = filled_slots(torch.tensor([ages[stream]]), 8)[0]
            for found, wanted in ((slots.contents[0], expected.contents[0]), (slots.log_weights, expected.log_weights)):
                torch.testing.assert_close(found[rows[stream]][filled], wanted[0][filled], atol=1e-12, rtol=0)


def test_a_token_that_no_clip_gave_anything_to_changes_nothing() -> None:
    slots, clips = blank(1, 4), random_clips(1, 3)
    clips.log_weights[:, 1:] = EMPTY
    for number in range(3):
        write_slots(slots, insertion(slots, [number], clip_at(clips, [0], number)))
    merged = slots.contents[0][0, 1], slots.log_weights[0, 1]
    torch.testing.assert_close(merged[0], clips.contents[0][0, 0])
    torch.testing.assert_close(merged[1], clips.log_weights[0, 0])


def test_an_insertion_writes_nothing_until_it_is_written() -> None:
    slots, clips = blank(1, 4), random_clips(1, 5)
    for number in range(4):
        write_slots(slots, insertion(slots, [number], clip_at(clips, [0], number)))
    before = slots.contents[0].clone(), slots.log_weights.clone()
    insertion(slots, [4], clip_at(clips, [0], 4))
    assert torch.equal(slots.contents[0], before[0]) and torch.equal(slots.log_weights, before[1])
