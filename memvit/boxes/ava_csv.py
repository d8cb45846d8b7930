"""Reads boxes from a CSV file in AVA's format: video,second,x1,y1,x2,y2[,action[,person or score[,person]]].

Two kinds of file look alike. In ground truth the eighth column is the number of a person, in detections the score of
a box. A file is ground truth if every value there is a whole number; a file of detections whose every score is
exactly 0 or 1 does not occur. (The official training list names ground truth among detections, where persons numbered
0 then fall below every threshold; here the file itself decides.)

Numbers of persons are passed on as they are written; in AVA's files they begin at 0. In detections they may stand in a
ninth column, which AVA's own files do not have.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memvit.types import NO_PERSON, Clip, MemvitError, PersonBoxes

COLUMNS = "video,second,x1,y1,x2,y2[,action[,person or score[,person]]]"
SCORE_THRESHOLD = 0.9
"""The official score threshold for predicted boxes."""


@dataclass(frozen=True)
class Row:
    """One line of the file."""

    video: str
    second: int
    sides: tuple[str, str, str, str]
    """x1, y1, x2, y2 as they are written. Two boxes are the same if these texts are, as in the reference."""
    last: str
    """The eighth column, a person's number or a score; empty if there is none."""
    person: str = ""
    """The ninth column, a person's number; empty if there is none."""


@dataclass
class _Box:
    """What a file says of one box, besides its sides."""

    score: float
    person: int


class AvaBoxes:
    """The boxes of a CSV file at the second of each clip's centre."""

    def __init__(self, path: str | Path, *, video: str | None = None, score_threshold: float | None = None) -> None:
        """Read the file. MemvitError if a line is malformed, or `video` is given and the file has no boxes of it.

        `video` is the video whose boxes are used; by default it is named by each clip's stream.
        """
        self.path = Path(path)
        threshold = SCORE_THRESHOLD if score_threshold is None else score_threshold
        rows = read_rows(self.path)
        self.is_ground_truth = all(_is_whole(row.last) for row in rows)
        self.has_persons = any(row.person or (self.is_ground_truth and row.last) for row in rows)
        """Whether the file has numbers of persons."""
        self._boxes: dict[str, dict[int, dict[tuple[str, ...], _Box]]] = {}
        for row in rows:
            score = 1.0 if self.is_ground_truth or not row.last else float(row.last)
            person = row.person or (row.last if self.is_ground_truth else "")
            seconds = self._boxes.setdefault(row.video, {})
            if score >= threshold:
                of_second = seconds.setdefault(row.second, {})
                box = of_second.setdefault(row.sides, _Box(score, int(float(person)) if person else NO_PERSON))
                box.score = max(score, box.score)
        self._video = video
        if video is not None:
            self._seconds(video)

    def check_videos(self, names: Sequence[str]) -> None:
        """MemvitError if the file has boxes of none of these videos, because it must belong to another one."""
        if names and not any(name in self._boxes for name in names):
            self._seconds(names[0])

    def boxes(self, clips: Sequence[Clip]) -> list[PersonBoxes]:
        """Boxes of each clip; MemvitError if its video is not in the file."""
        return [self._at(self._video or clip.stream_id, clip.centre_seconds) for clip in clips]

    def _at(self, video: str, centre_seconds: float) -> PersonBoxes:
        found = self._seconds(video).get(round(centre_seconds), {})
        sides = np.array([[float(side) for side in box] for box in found], dtype=np.float32).reshape(-1, 4)
        scores = np.array([box.score for box in found.values()], dtype=np.float32)
        persons = np.array([box.person for box in found.values()], dtype=np.int64)
        return PersonBoxes(sides, scores, persons if self.has_persons else None)

    def _seconds(self, video: str) -> dict[int, dict[tuple[str, ...], _Box]]:
        if video in self._boxes:
            return self._boxes[video]
        some = ", ".join(list(self._boxes)[:3]) + (", …" if len(self._boxes) > 3 else "")
        raise MemvitError(
            f"{self.path}: there are no boxes of a video {video!r} in it; it has {some}; name the file with the boxes "
            "of this video, or give the video and its rows in the first column the same name"
        )


def read_rows(path: Path) -> list[Row]:
    """All lines of a file. MemvitError with file and line if one is malformed, or if there is none."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [_row(fields, f"{path}:{number}") for number, fields in enumerate(csv.reader(file), 1) if fields]
    except OSError as error:
        raise MemvitError(f"{path}: the boxes cannot be read ({error.strerror}); check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise MemvitError(f"{path}: this is not a CSV file of boxes ({COLUMNS})") from error
    if not rows:
        raise MemvitError(f"{path}: there are no boxes in it; lines look like {COLUMNS}")
    return rows


def _row(fields: list[str], place: str) -> Row:
    fields = [field.strip() for field in fields]
    if not 6 <= len(fields) <= 9:
        raise MemvitError(f"{place}: {len(fields)} columns, expected {COLUMNS}")
    x1, y1, x2, y2 = fields[2:6]
    try:
        second = round(float(fields[1]))
        sides = [float(side) for side in (x1, y1, x2, y2)]
        last, person = ([*fields[7:], "", ""])[:2]
        if last:
            float(last)
        if person and not _is_whole(person):
            raise ValueError(f"the person's number {person} is not a whole number")
    except ValueError as error:
        raise MemvitError(f"{place}: {error}; expected {COLUMNS}") from error
    if not (all(-0.01 <= side <= 1.01 for side in sides) and sides[0] <= sides[2] and sides[1] <= sides[3]):
        raise MemvitError(f"{place}: box {x1},{y1},{x2},{y2} is not x1,y1,x2,y2 within 0..1 of the frame")
    return Row(fields[0], second, (x1, y1, x2, y2), last, person)


def _is_whole(text: str) -> bool:
    """Whether a text is a whole number that fits into 64 bits, or empty."""
    return not text or (float(text).is_integer() and "." not in text and abs(float(text)) <= 1 << 53)
