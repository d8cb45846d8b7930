"""Any number of boxes: none, one, and more than a group of slots holds."""

from __future__ import annotations

import torch
from torch import nn

from tests.models.test_memory import boxes, clip, watch


@torch.inference_mode()
def test_no_box_is_legal_and_time_goes_on(tiny: nn.Module) -> None:
    _, history = watch(tiny, "a", 3)
    logits, memory = tiny(clip("a", 3), [boxes(0)], history[-1])
    assert logits.shape == (0, 80)
    assert memory.ages.tolist() == [4]
    after_nobody, _ = tiny(clip("a", 4), [boxes(2)], memory)
    _, with_people = tiny(clip("a", 3), [boxes(2)], history[-1])
    after_people, _ = tiny(clip("a", 4), [boxes(2)], with_people)
    assert after_nobody.shape == after_people.shape == (2, 80)


@torch.inference_mode()
def test_more_boxes_than_slots_go_into_groups(tiny: nn.Module) -> None:
    """Each group answers as if it were the clip's only one; later clips remember the first."""
    _, history = watch(tiny, "a", 5)
    slots = tiny.config.head.box_slots
    crowd = boxes(2 * slots + 3)
    logits, memory = tiny(clip("a", 5), [crowd], history[-1])
    assert logits.shape == (2 * slots + 3, 80)
    for start in (0, slots, 2 * slots):
        alone, remembered = tiny(clip("a", 5), [crowd[start : start + slots]], history[-1])
        torch.testing.assert_close(logits[start : start + slots], alone, atol=1e-5, rtol=0)
        assert torch.allclose(memory.boxes[0][:, -1], remembered.boxes[0][:, -1], atol=1e-5) == (start == 0)


@torch.inference_mode()
def test_a_crowd_and_a_lone_person_share_a_batch(tiny: nn.Module) -> None:
    clips = torch.cat([clip("a", 0), clip("b", 0), clip("c", 0)])
    people = [boxes(130), boxes(0), boxes(1)]
    logits, _ = tiny(clips, people)
    alone = torch.cat([tiny(clips[row : row + 1], [people[row]])[0] for row in range(3)])
    torch.testing.assert_close(logits, alone, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_people_of_a_clip_see_each_other(tiny: nn.Module) -> None:
    pair = boxes(2)
    together, _ = tiny(clip("a", 0), [pair])
    alone, _ = tiny(clip("a", 0), [pair[:1]])
    assert (together[:1] - alone).abs().max() > 1e-4
