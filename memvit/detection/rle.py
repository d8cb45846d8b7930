"""Masks as COCO writes them: the lengths of runs, down each column, zeros first; as a list or as a short text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BITS = 5
"""Of a number in each character; one more bit says whether another character follows."""
FIRST_CHARACTER = 48


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """(H, W) → the lengths of the runs of zeros, ones, zeros … in the order of columns."""
    flat = mask.ravel(order="F")
    if not len(flat):
        return [0]
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(np.concatenate(([0], changes, [len(flat)]))).tolist()
    return [0, *lengths] if flat[0] else lengths


def as_text(lengths: Sequence[int]) -> str:
    """Run lengths as the short text of COCO's results: from the fourth on, the difference to the length two before."""
    characters = []
    for place, length in enumerate(lengths):
        value = length - lengths[place - 2] if place > 2 else length
        more = True
        while more:
            bits, value = value & (2**BITS - 1), value >> BITS
            sign_is_told = value == (-1 if bits & 2 ** (BITS - 1) else 0)
            more = not sign_is_told
            characters.append(chr(FIRST_CHARACTER + bits + (2**BITS if more else 0)))
    return "".join(characters)


def encoded(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """(H, W) → `{"size": [H, W], "counts": text}`, as COCO's results hold it."""
    return {"size": list(mask.shape), "counts": as_text(run_lengths(mask))}
