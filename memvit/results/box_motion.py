"""Where people are at any instant, from detections before and after it, so that boxes move with the video."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from memvit.types import NO_PERSON, PersonBoxes

BRIDGED_SECONDS = 1.0
"""A person whom the detector missed for so long between two detections is drawn all the same."""
SAME_SECONDS = 1e-3
"""Detections that are not further apart are of the same frame."""


@dataclass
class _Path:
    """The detections of one person, in order."""

    frames: list[int] = field(default_factory=list)
    boxes: list[NDArray[np.float32]] = field(default_factory=list)


class BoxMotion:
    """Boxes between detections.

    A person who is in the detections before and after an instant is between the two boxes, in proportion to time. One
    who is only in the nearer of the two stays where it says; one who is only in the other is not there yet, or no
    more. A box that is no person (`NO_PERSON`) is shown around its own detection only.
    """

    def __init__(self, detections: Iterable[tuple[float, PersonBoxes]]) -> None:
        """`detections`: (seconds, boxes) of frames, in any order; of two of the same instant the later one counts."""
        self._times: list[float] = []
        self._frames: list[PersonBoxes] = []
        for seconds, boxes in sorted(detections, key=lambda detection: detection[0]):
            if self._times and seconds - self._times[-1] <= SAME_SECONDS:
                self._frames[-1] = boxes
                continue
            self._times.append(seconds)
            self._frames.append(boxes)
        self._paths: dict[int, _Path] = defaultdict(_Path)
        for frame, boxes in enumerate(self._frames):
            for number, box in zip(_numbers(boxes), boxes.xyxy, strict=True):
                if number != NO_PERSON:
                    self._paths[number].frames.append(frame)
                    self._paths[number].boxes.append(box)

    def at(self, pts_seconds: float) -> list[tuple[int, NDArray[np.float32]]]:
        """(number, (4,) xyxy normalised) of everybody who is there at an instant, in the order of the numbers."""
        if not self._times:
            return []
        nearest = self._nearest(pts_seconds)
        found = list(self._people(pts_seconds, nearest))
        boxes = self._frames[nearest]
        numbered = zip(_numbers(boxes), boxes.xyxy, strict=True)
        nobody = [(number, box) for number, box in numbered if number == NO_PERSON]
        return sorted(found, key=lambda person: person[0]) + nobody

    def _nearest(self, pts_seconds: float) -> int:
        after = bisect_right(self._times, pts_seconds)
        if after == 0 or after == len(self._times):
            return max(after - 1, 0)
        is_nearer = pts_seconds - self._times[after - 1] <= self._times[after] - pts_seconds
        return after - 1 if is_nearer else after

    def _people(self, pts_seconds: float, nearest: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        current = bisect_right(self._times, pts_seconds) - 1
        for number, path in self._paths.items():
            after = bisect_right(path.frames, current)
            if 0 < after < len(path.frames):
                first, last = path.frames[after - 1], path.frames[after]
                seconds = self._times[last] - self._times[first]
                if last - first == 1 or seconds <= BRIDGED_SECONDS:
                    part = np.float32((pts_seconds - self._times[first]) / seconds)
                    yield number, path.boxes[after - 1] + part * (path.boxes[after] - path.boxes[after - 1])
                    continue
            if nearest in path.frames:
                yield number, path.boxes[path.frames.index(nearest)]


def _numbers(boxes: PersonBoxes) -> list[int]:
    return [NO_PERSON] * len(boxes) if boxes.persons is None else boxes.persons.tolist()
