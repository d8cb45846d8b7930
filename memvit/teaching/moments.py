"""Labelled moments in a CSV file: `video,seconds,person,label`, with a header.

`video` is the id of a video in an archive, its location or its file name; `person` its number there, empty for the
whole clip, or where one person only is there; `label` is 1 where the action happens and 0 where it does not. A row with
an empty label is a question that is not answered yet, and is left out.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from memvit.os_errors import sentence_of
from memvit.types import MemvitError

COLUMNS = ("video", "seconds", "person", "label")
MAX_ROWS = 1_000_000
"""A file with more rows is refused."""
MAX_BYTES = 1 << 28
"""A larger file is refused."""


@dataclass(frozen=True)
class Moment:
    """One row."""

    video: str
    seconds: float
    person: int | None
    label: bool
    line: int = 0
    """Line of the file."""


@dataclass(frozen=True)
class Moments:
    """All rows with a label; of several about one moment the last counts."""

    moments: tuple[Moment, ...]
    replaced: int = 0
    """Number of rows that a later one replaces."""
    unanswered: int = 0
    """Number of rows without a label."""


def read_moments(path: str | Path) -> Moments:
    """Read a file. Raises MemvitError with the line if it is malformed or cannot be read."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MemvitError(f"{path}: this file is too large for a list of labels; check the path")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise MemvitError(sentence_of(error, path)) from error
    except UnicodeDecodeError as error:
        raise MemvitError(f"{path}: this is not a text file; a CSV with the columns {','.join(COLUMNS)}") from error
    return parse_moments(text, str(path))


def parse_moments(text: str, where: str = "labels") -> Moments:
    """Read the text of a file. Raises MemvitError with the line if it is malformed."""
    rows = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    found: dict[tuple[str, float, int | None], Moment] = {}
    replaced = unanswered = 0
    try:
        names = [name.strip().casefold() for name in rows.fieldnames or ()]
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            raise MemvitError(f"{where}:1: the column {missing[0]} is missing; the first line is {','.join(COLUMNS)}")
        rows.fieldnames = names
        for row in rows:
            if len(found) >= MAX_ROWS:
                raise MemvitError(f"{where}: more than {MAX_ROWS:,} rows; use a part of them")
            values = {name: (row.get(name) or "").strip() for name in COLUMNS}
            if not values["label"]:
                unanswered += 1
                continue
            moment = _moment(values, f"{where}:{rows.line_num}", rows.line_num)
            key = moment.video, moment.seconds, moment.person
            replaced += key in found
            found[key] = moment
    except csv.Error as error:
        raise MemvitError(f"{where}:{rows.line_num}: this is not CSV ({error})") from error
    return Moments(tuple(found.values()), replaced, unanswered)


def _moment(values: dict[str, str], where: str, line: int) -> Moment:
    try:
        seconds = float(values["seconds"])
    except ValueError:
        seconds = math.nan
    if not values["video"] or not math.isfinite(seconds):
        raise MemvitError(f"{where}: a video and a number of seconds are expected")
    person = values["person"]
    if person and not (person.isascii() and person.isdecimal() and len(person) < 19):
        raise MemvitError(f"{where}: person should be a number or empty, it is {person[:40]!r}")
    if values["label"] not in ("0", "1"):
        raise MemvitError(f"{where}: label should be 1, 0 or empty, it is {values['label'][:40]!r}")
    return Moment(values["video"], seconds, int(person) if person else None, values["label"] == "1", line)


def question_rows(rows: Iterable[tuple[str, float, int | None]]) -> str:
    """Return a CSV with the moments (video, seconds, person), and an empty label for each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for video, seconds, person in rows:
        writer.writerow([video, f"{seconds:.3f}", "" if person is None else person, ""])
    return text.getvalue()
