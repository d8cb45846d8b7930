"""Finds events in files of results and in archives, and says what happened, for people and for programs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from memvit.events.event import Event
from memvit.events.files import Coverage, find_events, read_clips
from memvit.events.rules_file import load_rules
from memvit.results.text_file import TextFileWriter
from memvit.results.wall_clock import local_text
from memvit.types import MemvitError


@dataclass
class EventSummary:
    """What was found."""

    ended: list[Event] = field(default_factory=list)
    """Every event, as it was when it ended, in the order in which they ended."""
    coverage: Coverage = field(default_factory=Coverage)
    notes: list[str] = field(default_factory=list)
    """Sentences about what these results cannot show."""


def events_of(
    results: Sequence[str], rules_path: Path, out: Path | None = None, on_event: Callable[[Event], None] | None = None
) -> EventSummary:
    """Find the events of an archive or of files of results, and write each line of them to `out`.

    MemvitError if one is malformed, if a file is named twice, or if there is more than one archive.
    """
    if not any(is_archive(location) for location in results):
        return events_of_files([Path(location) for location in results], rules_path, out, on_event)
    if len(results) > 1:
        raise MemvitError(f"{results[0]}: name one archive, or files of results")
    from memvit.store import Archive
    from pipelines.find_events import events_of_archive

    summary = EventSummary()
    _tell(events_of_archive(Archive.open(results[0]), load_rules(rules_path)), summary, out, on_event)
    return summary


def is_archive(location: str) -> bool:
    """Whether a location is a URL, or a folder that holds a Zarr store."""
    return "://" in location or (Path(location) / "zarr.json").is_file()


def events_of_files(
    files: Sequence[Path], rules_path: Path, out: Path | None = None, on_event: Callable[[Event], None] | None = None
) -> EventSummary:
    """Find the events of files of results, and write each line of them to `out`. MemvitError if a file is malformed, or
    is named twice.
    """
    if len({path.resolve() for path in files}) < len(files):
        raise MemvitError("a file of results is named twice; name each once")
    if out is not None and out.resolve() in {path.resolve() for path in (*files, rules_path)}:
        raise MemvitError(f"{out}: this file is read; name another one for the events")
    rules = load_rules(rules_path)
    for path in files:
        next(read_clips(path), None)  # a file that is missing or malformed is named before anything is written
    summary = EventSummary()
    _tell(find_events([partial(read_clips, path) for path in files], rules, summary.coverage), summary, out, on_event)
    summary.notes = summary.coverage.notes(rules)
    return summary


def _tell(
    events: Iterable[Event], summary: EventSummary, out: Path | None, on_event: Callable[[Event], None] | None
) -> None:
    """Write events to a file, pass them on, and collect those that have ended."""
    with ExitStack() as stack:
        writer = stack.enter_context(TextFileWriter(out)) if out is not None else None
        for event in events:
            if writer is not None:
                writer.line(event.to_json())
            if on_event is not None:
                on_event(event)
            if event.state == "end":
                summary.ended.append(event)


def event_sentence(event: Event) -> str:
    """An event in words: "street: waving has begun, person 3, since 12 s (hand wave 0.71) at entrance".

    As it has ended: "street: waving, person 3, 12–31 s (hand wave 0.91) at entrance".
    """
    verb = "" if event.state == "end" else " has begun"
    who = f", person {event.person}" if event.person is not None else ""
    where = f" at {event.zone}" if event.zone is not None else ""
    best = f" ({event.action} {event.peak_score:.2f})" if event.peak_score is not None else ""
    return f"{event.stream_id}: {event.rule}{verb}{who}, {_when(event)}{best}{where}"


def _when(event: Event) -> str:
    """In local time where it is known, otherwise in seconds of the source."""
    if event.start_unix is None or event.end_unix is None:
        start, end = f"{event.start_seconds:g}", f"{event.end_seconds:g} s"
    else:
        start, end = local_text(event.start_unix), local_text(event.end_unix)[11:]
    if event.state == "end":
        return f"{start}–{end}"
    return f"since {start}" if event.start_unix is not None else f"since {start} s"


def count_sentence(events: Sequence[Event]) -> str:
    """How many events there were of each rule: "3 events: waving 2, loitering 1"."""
    counts: dict[str, int] = defaultdict(int)
    for event in events:
        counts[event.rule] += 1
    total = f"{len(events)} event{'s' if len(events) != 1 else ''}"
    return total + (": " + ", ".join(f"{rule} {count}" for rule, count in counts.items()) if counts else "")
