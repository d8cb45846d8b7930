"""Prints what is found in an archive: intervals of actions, and its videos; as text, as JSON Lines or as CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from memvit.json_text import json_text
from memvit.store import Archive, Interval, VideoState
from memvit.store.lock import writer_of
from memvit.store.videos import is_chosen

from .clock import clock

STATES = ("done", "running", "unfinished", "failed", "damaged")


@dataclass(frozen=True)
class VideoFilter:
    """Which videos of an archive are listed."""

    state: str | None = None
    """One of `STATES`."""
    video: str | None = None
    """A shell pattern of the id, location or file name."""
    min_seconds: float | None = None
    """Length of the shortest video; videos of unknown length are left out."""
    max_seconds: float | None = None
    min_persons: int = 0
    """Smallest number of different people."""

    def passes(self, row: dict[str, Any]) -> bool:
        """Whether a video of `video_rows` is to be listed."""
        seconds = row["seconds"]
        is_bounded = self.min_seconds is not None or self.max_seconds is not None
        return (
            self.state in (None, row["state"])
            and (seconds is not None or not is_bounded)
            and (self.min_seconds is None or seconds >= self.min_seconds)
            and (self.max_seconds is None or seconds <= self.max_seconds)
            and (row["persons"] or 0) >= self.min_persons
        )


def video_rows(path: str, chosen: VideoFilter) -> Iterator[dict[str, Any]]:
    """Yield the videos of an archive, sorted by id, as plain values. Raises StoreError if there is no archive."""
    archive, writer = Archive.open(path), writer_of(path)
    for state in archive.videos():
        row = {
            "video": state.id,
            "location": state.location,
            "state": "unfinished" if state.state == "running" and writer is None else state.state,
            "seconds": state.duration_seconds,
            "clips": state.clips,
            "people": state.people,
            "persons": state.persons,
            "reason": state.reason,
        }
        if is_chosen(state, chosen.video) and chosen.passes(row):
            yield row


def video_text(row: dict[str, Any]) -> str:
    """A video as a line of text."""
    length = clock(row["seconds"]) if row["seconds"] is not None else "?"
    persons = f", {counted(row['persons'], 'person')}" if row["persons"] is not None else ""
    about = row["reason"] or f"{length}, {counted(row['clips'], 'clip')}{persons}"
    return f"{row['state']:<10} {row['video']}: {about}"


def interval_text(interval: Interval) -> str:
    """An interval as a line of text: "film-1a2b3c4d  person 3  0:01:10 to 0:01:34  up to 0.93, mean 0.71"."""
    who = f"  person {interval.person}" if interval.person is not None else ""
    when = f"{clock(interval.start_seconds)} to {clock(interval.end_seconds)}"
    return f"{interval.video}{who}  {when}  up to {interval.peak_score:.2f}, mean {interval.mean_score:.2f}"


class Printer:
    """Prints records on standard output in one of three forms."""

    def __init__(self, text: Callable[[Any], str], *, as_json: bool, as_csv: bool) -> None:
        """`text` makes a line for people of an item."""
        self._text, self._as_json, self._as_csv = text, as_json, as_csv
        self._table: csv.DictWriter[str] | None = None
        self.count = 0

    def print(self, item: Any, record: dict[str, Any]) -> None:
        """Print an item; `record` is the same as plain values."""
        self.count += 1
        if self._as_json:
            sys.stdout.write(json_text(record) + "\n")
        elif self._as_csv:
            if self._table is None:
                self._table = csv.DictWriter(sys.stdout, list(record), lineterminator="\n")
                self._table.writeheader()
            self._table.writerow(record)
        else:
            sys.stdout.write(self._text(item) + "\n")


def counted(count: int, name: str) -> str:
    """A number of things: "1 clip", "2 clips"."""
    return f"{count} {name}{'s' if count != 1 else ''}"


def damaged_sentence(state: VideoState) -> str:
    """A note about a video that was not searched."""
    return f"note: {state.id} is damaged and was not searched; `memvit extract … --verify` repairs it"
