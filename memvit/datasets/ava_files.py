"""Reads the files that AVA publishes: boxes with actions or scores, excluded keyframes, label maps, frame lists.

Every reader reports a malformed line with file and number. Boxes are (x1, y1, x2, y2), normalised to 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvit.labels import AVA_EVALUATED_IDS, labels_for, read_labels, read_text
from memvit.types import MemvitError

COLUMNS = "video,second,x1,y1,x2,y2,action[,person or score]"
NO_ACTION = -1
"""Stands for the action of a box without one: a person who was detected but not labelled."""
FRAME_LIST_HEADER = "original_vido_id video_id frame_id path labels"


@dataclass(frozen=True, eq=False)
class AvaTable:
    """The lines of an AVA file as one array per column."""

    videos: NDArray[np.str_]
    seconds: NDArray[np.int64]
    boxes: NDArray[np.float64]
    """(N, 4) xyxy, normalised to 0..1."""
    actions: NDArray[np.int64]
    """(N,) action ids 1, 2, …, or `NO_ACTION`."""
    last: NDArray[np.float64]
    """(N,) the eighth column: a person's number in ground truth, a score in detections; NaN if it is empty."""

    def __len__(self) -> int:
        return len(self.seconds)

    def where(self, wanted: NDArray[np.bool_] | NDArray[np.int64]) -> AvaTable:
        """The lines that a mask or an array of row numbers selects."""
        return AvaTable(
            self.videos[wanted], self.seconds[wanted], self.boxes[wanted], self.actions[wanted], self.last[wanted]
        )

    @staticmethod
    def join(tables: Sequence[AvaTable]) -> AvaTable:
        """The lines of several tables, one after the other."""
        return AvaTable(
            np.concatenate([table.videos for table in tables]),
            np.concatenate([table.seconds for table in tables]),
            np.concatenate([table.boxes for table in tables]),
            np.concatenate([table.actions for table in tables]),
            np.concatenate([table.last for table in tables]),
        )


def read_table(path: str | Path) -> AvaTable:
    """All lines of a CSV file in AVA's format; MemvitError with file and line if one is malformed."""
    path = Path(path)
    lines = read_lines(path)
    rows = [line.split(",") for line in lines if line]
    if not rows:
        raise MemvitError(f"{path}: there are no boxes in it; lines look like {COLUMNS}")
    if not all(7 <= len(row) <= 8 for row in rows):
        raise _first_fault(path, lines)
    try:
        columns = list(zip(*(row if len(row) == 8 else [*row, ""] for row in rows), strict=True))
        table = AvaTable(
            np.array(columns[0]),
            np.array(columns[1]).astype(np.float64).round().astype(np.int64),
            np.stack([np.array(column).astype(np.float64) for column in columns[2:6]], axis=1),
            np.array([value or NO_ACTION for value in columns[6]]).astype(np.int64),
            np.array([value or "nan" for value in columns[7]]).astype(np.float64),
        )
    except ValueError:
        raise _first_fault(path, lines) from None
    x1, y1, x2, y2 = table.boxes.T
    if not ((table.boxes > -0.01).all() and (table.boxes < 1.01).all() and (x1 <= x2).all() and (y1 <= y2).all()):
        raise _first_fault(path, lines)
    return table


def _first_fault(path: Path, lines: list[str]) -> MemvitError:
    """An error that names the first malformed line and says what is wrong with it."""
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        row = line.split(",")
        if not 7 <= len(row) <= 8:
            return MemvitError(f"{path}:{number}: {len(row)} columns, expected {COLUMNS}")
        try:
            x1, y1, x2, y2 = (float(value) for value in row[2:6])
            _ = float(row[1]), int(row[6] or NO_ACTION), float(row[7] or "nan") if len(row) == 8 else None
        except ValueError as error:
            return MemvitError(f"{path}:{number}: {error}; expected {COLUMNS}")
        if not (x1 <= x2 and y1 <= y2 and min(x1, y1) > -0.01 and max(x2, y2) < 1.01):
            return MemvitError(f"{path}:{number}: box {','.join(row[2:6])} is not x1,y1,x2,y2 within 0..1 of the frame")
    return MemvitError(f"{path}: a line is malformed; expected {COLUMNS}")


def read_exclusions(path: str | Path) -> set[tuple[str, int]]:
    """(video, second) of the keyframes that evaluation leaves out, read from lines `video,second`."""
    path, found = Path(path), set[tuple[str, int]]()
    for number, line in enumerate(read_lines(path), 1):
        if line:
            video, _, second = line.partition(",")
            try:
                found.add((video, round(float(second))))
            except ValueError as error:
                raise MemvitError(f"{path}:{number}: {line!r} is not `video,second`") from error
    return found


def read_label_map(path: str | Path | None) -> dict[int, str]:
    """Action id → name of the actions that are evaluated; without a file, AVA's 60. MemvitError if it is malformed.

    A file may be a pbtxt in either official form, JSON, or text with one name per line (ids from 1).
    """
    if path is None:
        names = labels_for(80, "ava").names
        return {number: names[number - 1] for number in sorted(AVA_EVALUATED_IDS)}
    labels = read_labels(path)
    first = labels.first_id if Path(path).suffix in (".pbtxt", ".json") or labels.first_id else 1
    named = {first + place: name for place, name in enumerate(labels.names)}
    return {number: name for number, name in named.items() if name != f"class {number}"}


def read_frame_list(path: str | Path) -> dict[str, list[str]]:
    """Video → paths of its frames in order, from an official frame list (`train.csv`, `val.csv`)."""
    path, found = Path(path), dict[str, list[str]]()
    for number, line in enumerate(read_lines(path), 1):
        if not line or (number == 1 and line.startswith("original_vido_id")):
            continue
        fields = line.split()
        if len(fields) != 5:
            raise MemvitError(f"{path}:{number}: {len(fields)} columns, expected {FRAME_LIST_HEADER}")
        found.setdefault(fields[0], []).append(fields[3])
    if not found:
        raise MemvitError(f"{path}: there are no frames in it; lines look like {FRAME_LIST_HEADER}")
    return found


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, stripped; MemvitError if it cannot be read."""
    return [line.strip() for line in read_text(path, "the file").splitlines()]
