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


def from_text(text: str) -> list[int]:
    """The run lengths of the short text. ValueError if it is none."""
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - FIRST_CHARACTER
        if not 0 <= code < 2 ** (BITS + 1) or shift > 60:
            raise ValueError("its run lengths are damaged")
        value |= (code & (2**BITS - 1)) << shift
        shift += BITS
        if code & 2**BITS:
            continue
        if code & 2 ** (BITS - 1):
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value = shift = 0
    if shift or any(length < 0 for length in lengths):
        raise ValueError("its run lengths are damaged")
    return lengths


def check(segmentation: object, size: tuple[int, int]) -> None:
    """ValueError, in a few words, if something is neither runs nor polygons of a picture of (height, width)."""
    if isinstance(segmentation, list):
        for polygon in segmentation:
            is_flat = isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0
            if not is_flat or not all(isinstance(value, int | float) and abs(value) < 1e6 for value in polygon):
                raise ValueError("a polygon is not a list of x and y of at least three points")
        if not segmentation:
            raise ValueError("it has no polygon")
        return
    if not isinstance(segmentation, dict) or segmentation.get("size") != list(size):
        raise ValueError(f"its size should be {list(size)}")
    counts = segmentation.get("counts")
    lengths = from_text(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list) or not all(type(length) is int and length >= 0 for length in lengths):
        raise ValueError("its counts are no run lengths")
    if sum(lengths) != size[0] * size[1]:
        raise ValueError(f"its runs have {sum(lengths)} pixels, the picture has {size[0] * size[1]}")


def decoded(counts: str | Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """(height, width): the pixels of run lengths that `check` has accepted."""
    lengths = from_text(counts) if isinstance(counts, str) else list(counts)
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(size, order="F")
