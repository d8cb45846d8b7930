"""What a tracker knows of the people of a stream, as arrays with a row for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memvit.tracking.motion import Floats, Motion

Rows = NDArray[np.intp] | NDArray[np.bool_]


@dataclass(frozen=True)
class Tracks:
    """T people, and boxes that may become people."""

    persons: NDArray[np.int64]
    """(T,) numbers; −1 for one that is no person yet."""
    first_seconds: Floats
    """(T,) when each was seen first."""
    last_seconds: Floats
    """(T,) when each was seen last."""
    last_numbers: Floats
    """(T, 4) numbers of the box, as of `box_numbers`, where each was then."""
    motion: Floats
    """(T, 5, 4), the values of `Motion`."""
    looks: Floats
    """(T, D) mean vectors of appearance, of length 1; zeros while nothing is known."""
    looks_seconds: Floats
    """(T,) over how many seconds the mean of the looks goes."""

    @staticmethod
    def start(seconds: float, motion: Motion, looks: Floats) -> Tracks:
        """Tracks that were seen for the first time now."""
        count = len(motion.values)
        now = np.full(count, seconds)
        return Tracks(
            np.full(count, -1, dtype=np.int64),
            now,
            now.copy(),
            motion.numbers.copy(),
            motion.values,
            looks,
            np.zeros(count),
        )

    def __len__(self) -> int:
        return len(self.persons)

    def select(self, rows: Rows) -> Tracks:
        """The tracks in these rows."""
        return Tracks(*(getattr(self, field.name)[rows] for field in fields(self)))

    def join(self, other: Tracks) -> Tracks:
        """The tracks of both."""
        return Tracks(
            *(np.concatenate((getattr(self, field.name), getattr(other, field.name))) for field in fields(self))
        )

    def with_looks(self, size: int) -> Tracks:
        """The same with room for vectors of another size; what was known of looks is dropped."""
        return replace(self, looks=np.zeros((len(self), size)), looks_seconds=np.zeros(len(self)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Copies of all arrays, by name."""
        return {field.name: getattr(self, field.name).copy() for field in fields(self)}

    @staticmethod
    def from_arrays(arrays: Mapping[str, Any]) -> Tracks:
        """The inverse of `arrays`. KeyError or ValueError if one is missing or has another shape."""
        types = {"persons": np.int64}
        found = {field.name: np.array(arrays[field.name], types.get(field.name, float)) for field in fields(Tracks)}
        count = len(found["persons"])
        shapes = {"motion": (count, 5, 4), "last_numbers": (count, 4), "looks": (count, *found["looks"].shape[1:2])}
        for name, array in found.items():
            if array.shape != shapes.get(name, (count,)):
                raise ValueError(f"{name} has the shape {array.shape}")
        return Tracks(**found)
