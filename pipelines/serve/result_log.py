"""Results of a server on disk: JSON Lines, one file a day, for so many days."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import BinaryIO

from memvit.labels import Labels
from memvit.results.jsonl import to_json
from memvit.results.result import Result

NAME = re.compile(r"results-(\d{4}-\d\d-\d\d)\.jsonl")


class ResultLog:
    """Writes `results-2026-05-01.jsonl`, by the day in UTC. All methods may be called from any thread."""

    def __init__(self, folder: Path, labels: Labels, days: float, *, top_k: int = 5) -> None:
        self._folder, self._labels, self._days, self._top_k = folder, labels, days, top_k
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._day: date | None = None

    def add(self, results: Sequence[Result]) -> None:
        """Write results, and let the system have them. OSError if the disk takes no more; the next call tries again."""
        if not results:
            return
        lines = [to_json(result, self._labels, top_k=self._top_k, with_latency=True) + "\n" for result in results]
        with self._lock:
            try:
                file = self._todays_file(datetime.fromtimestamp(time.time(), UTC).date())
                file.write("".join(lines).encode())
                file.flush()
            except OSError:
                self._close()
                raise

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._close()

    def _todays_file(self, today: date) -> BinaryIO:
        if self._file is None or self._day != today:
            self._close()
            self._delete_old(today)
            file = (self._folder / f"results-{today.isoformat()}.jsonl").open("a+b")
            end = file.seek(0, 2)
            if end:
                file.seek(end - 1)
                if file.read(1) != b"\n":  # a line that was cut off by a crash
                    file.write(b"\n")
            self._file, self._day = file, today
        return self._file

    def _delete_old(self, today: date) -> None:
        for path in self._folder.iterdir():
            named = NAME.fullmatch(path.name)
            with suppress(ValueError):  # a name that is no date is not ours
                if named and (today - date.fromisoformat(named[1])).days > self._days:
                    path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            with suppress(OSError):  # what could not be written was reported by `add`
                file.close()
