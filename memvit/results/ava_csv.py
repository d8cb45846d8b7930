"""Results as the CSV file that AVA's official evaluation reads: video,second,x1,y1,x2,y2,action,score[,person]."""

from __future__ import annotations

from pathlib import Path

from memvit.labels import Labels
from memvit.results.result import Result
from memvit.results.text_file import TextFileWriter
from memvit.types import NO_PERSON, MemvitError


class AvaCsvWriter(TextFileWriter):
    """Writes one row for every class of every box."""

    def __init__(self, path: str | Path, labels: Labels, *, with_persons: bool = False) -> None:
        """`with_persons` adds a column with the number of each person, empty for a box that has none."""
        super().__init__(path)
        self._labels, self._with_persons = labels, with_persons

    def write(self, result: Result) -> None:
        """Append one result. MemvitError if it has no boxes or lies between whole seconds, which the format lacks."""
        second = round(result.centre_seconds)
        if result.boxes is None:
            raise MemvitError("AVA's CSV is of people; this model classifies whole clips: leave --ava-csv out")
        if abs(result.centre_seconds - second) > 1e-3:
            raise MemvitError(
                f"AVA's CSV knows whole seconds only, a clip is centred at {result.centre_seconds:g} s; use a hop of 1"
            )
        persons = result.boxes.persons if result.boxes.persons is not None else [NO_PERSON] * len(result.boxes)
        for box, person, scores in zip(result.boxes.xyxy, persons, result.scores, strict=True):
            sides = ",".join(f"{side:.3f}" for side in box)
            last = ("," if person == NO_PERSON else f",{person}") if self._with_persons else ""
            for index, score in enumerate(scores):
                action = index + self._labels.first_id
                self.line(f"{result.stream_id},{second:04d},{sides},{action},{score:.4f}{last}")
