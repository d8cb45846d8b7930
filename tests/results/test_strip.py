"""What the strip says and draws of memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from memvit.results.colours import MEMORY
from memvit.results.result import Result
from memvit.results.strip import Strip, age_text, memory_texts, oldest_of_blocks

RESULT = Result("v", 130, 130.0, 129.5, 130.5, None, np.zeros((1, 8), np.float32), memory_clips=130)
SLOTS = replace(
    RESULT, memory_offsets_seconds=(1.0, 2.0, 3.0, 5.0, 9.0, 17.0), memory_in_slots=True, memory_reach_seconds=130.0
)
READS = replace(RESULT, memory_offsets_seconds=(2.0, 4.0), memory_reach_seconds=12.0)


def test_slots_are_said_to_reach_from_the_newest_to_the_oldest_clip() -> None:
    assert memory_texts(SLOTS)[0] == "memory: reads 1 s … 2 min ago"
    assert memory_texts(READS)[0] == "memory: reads 2, 4 s ago, reaches 12 s back"
    first = replace(SLOTS, memory_offsets_seconds=(1.0,), memory_reach_seconds=1.0)
    assert memory_texts(first)[0] == "memory: reads 1 s ago"
    lengths = [len(text) for text in memory_texts(SLOTS)]
    assert lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "0.5 s"), (119, "119 s"), (120, "2 min"), (899, "15 min"), (9000, "2.5 h")]
)
def test_ages_are_short(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


def test_slots_cover_the_past_without_a_gap() -> None:
    assert oldest_of_blocks(SLOTS) == (1.0, 2.0, 4.0, 8.0, 16.0, 130.0)
    assert oldest_of_blocks(READS) == (2.0, 4.0)
    shares = []
    for result in (SLOTS, READS):
        lane = Strip(1200, 400, 16).draw(result)[-12]
        shares.append((lane == np.array(MEMORY)).all(axis=1).mean())
    assert shares[0] > 0.8 and shares[1] < 0.15
