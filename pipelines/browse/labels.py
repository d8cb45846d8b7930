"""Labels for `memvit teach` in a CSV file: moments of films, or people at moments, that show an action or do not."""

from __future__ import annotations

import csv
import io
import os
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from memvit.os_errors import sentence_of
from memvit.teaching.moments import COLUMNS, MAX_BYTES, MAX_ROWS, parse_moments
from memvit.types import MemvitError
from pipelines.outputs import check_file


class Labelled(NamedTuple):
    """What is labelled: a moment of a film, or a person at a moment."""

    video: str
    """Id of the film in the archive."""
    seconds: float
    """Centre of the clip, rounded to thousandths."""
    person: int | None = None


class LabelFile:
    """A file of labels. Every change is written at once, as a whole: the file is the old one or the new one.

    What another program changes in it meanwhile is kept.
    """

    def __init__(self, path: Path) -> None:
        """MemvitError if the file cannot be read or written, or has another form."""
        check_file(path, "--labels")
        self.path = path
        self._lock = threading.Lock()
        self._labels: dict[Labelled, bool | None] = {}
        self._seen: tuple[int, int] | None = None
        self._read()

    def all(self) -> dict[Labelled, bool | None]:
        """Every label, in the order in which they were given; None is a question that is not answered yet."""
        with self._lock:
            self._read()
            return dict(self._labels)

    def set(self, what: Labelled, label: bool | None) -> None:
        """Give a label, or take it back with None. MemvitError if the file cannot be read or written."""
        with self._lock:
            self._read()
            changed = dict(self._labels)
            if label is None:
                changed.pop(what, None)
            else:
                changed[what] = label
            if len(changed) > MAX_ROWS:
                raise MemvitError(f"{self.path}: it holds {MAX_ROWS:,} labels already; start another file")
            self._write(changed)

    def text(self) -> str:
        """The content of the file."""
        return to_csv(self.all())

    def _read(self) -> None:
        try:
            status = self.path.stat()
            seen = (status.st_mtime_ns, status.st_size)
            if status.st_size > MAX_BYTES:
                raise MemvitError(f"{self.path}: this file is too large for a list of labels; check the path")
            if seen != self._seen:
                self._labels = from_csv(self.path.read_text(encoding="utf-8-sig"), str(self.path))
                self._seen = seen
        except FileNotFoundError:
            self._labels, self._seen = {}, None
        except UnicodeDecodeError as error:
            raise MemvitError(f"{self.path}: this is not a text file; name a CSV of labels") from error
        except OSError as error:
            raise MemvitError(sentence_of(error, self.path)) from error

    def _write(self, labels: dict[Labelled, bool | None]) -> None:
        try:
            descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                    file.write(to_csv(labels))
                    file.flush()
                    os.fsync(file.fileno())
                mode = self.path.stat().st_mode & 0o777 if self.path.exists() else 0o644
                Path(name).chmod(mode)
                Path(name).replace(self.path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
            status = self.path.stat()
        except OSError as error:
            raise MemvitError(f"the label was not written: {sentence_of(error, self.path)}") from error
        self._labels, self._seen = labels, (status.st_mtime_ns, status.st_size)


def to_csv(labels: Mapping[Labelled, bool | None]) -> str:
    """Labels as text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for (video, seconds, person), label in labels.items():
        number = "" if person is None else person
        writer.writerow([video, f"{seconds:.3f}", number, "" if label is None else int(label)])
    return text.getvalue()


def from_csv(text: str, where: str) -> dict[Labelled, bool | None]:
    """Labels of a text; the last one of a moment counts. MemvitError with the line if it has another form."""
    if not text.strip():
        return {}
    labelled = {
        Labelled(moment.video, round(moment.seconds, 3), moment.person): moment.label
        for moment in parse_moments(text, where).moments
    }
    found: dict[Labelled, bool | None] = {}
    rows = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    rows.fieldnames = [name.strip().casefold() for name in rows.fieldnames or ()]
    for row in rows:  # in the order of the file, with the questions, which `parse_moments` leaves out
        video, seconds, person = ((row.get(name) or "").strip() for name in COLUMNS[:3])
        with suppress(ValueError):
            what = Labelled(video, round(float(seconds), 3), int(person) if person else None)
            found[what] = labelled.get(what)
    return found
