"""Reads clips from files of results, and finds the events in them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from memvit.os_errors import sentence_of
from memvit.types import MemvitError

from .detect import StreamEvents
from .event import Event
from .rules import Rules
from .scores import Action, ClipScores, clip_of_record

MAX_LINE_BYTES = 16_000_000
"""A longer line is not one of results."""
ONE_CLIP_HOP_SECONDS = 1.0
"""Hop of a stream of one clip, of which nothing depends."""


@dataclass
class Coverage:
    """What of the rules can be told from results at all."""

    actions: set[Action] = field(default_factory=set)
    """All actions that have a score somewhere."""
    fewest_scores: int | None = None
    """The smallest number of scores that a person has in a clip; None before the first person."""
    clips: int = 0
    has_numbers: bool = False
    streams: set[str] = field(default_factory=set)

    def add(self, clip: ClipScores) -> None:
        """Another clip."""
        self.clips += 1
        self.streams.add(clip.stream_id)
        for person in clip.people:
            self.actions |= person.scores.keys()
            self.has_numbers |= person.number is not None
            if self.fewest_scores is None or len(person.scores) < self.fewest_scores:
                self.fewest_scores = len(person.scores)

    def notes(self, rules: Rules) -> list[str]:
        """Sentences about rules that these results cannot show, or show in part."""
        if not self.clips:
            return ["there are no clips in these results"]
        found = []
        for rule in rules.rules:
            if not any(rule.applies_to(stream) for stream in self.streams):
                found.append(f"rule {rule.name}: none of the streams ({_few(self.streams)}) is one of the rule's")
            elif rule.actions and not any(rule.names(action) for action in self.actions):
                wanted = ", ".join(str(action) for action in rule.actions)
                found.append(f"rule {rule.name}: none of its actions ({wanted}) has a score in these results")
        if self.fewest_scores is not None and self.fewest_scores < len(self.actions):
            found.append(
                f"people have scores of only some actions (the fewest: {self.fewest_scores}); others count as 0; "
                "use --all-scores to be sure"
            )
        if self.fewest_scores is not None and not self.has_numbers:
            found.append("people have no numbers, so the people of a clip count as one, with the largest score")
        return found


def _few(names: set[str]) -> str:
    shown = sorted(names)[:5]
    return ", ".join(shown) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def read_json_lines(path: str | Path) -> Iterator[tuple[int, Any]]:
    """(line number, value) of each line of a file; a last line that was cut off is left out.

    MemvitError with the line if one is not JSON.
    """
    try:
        with Path(path).open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES):
                number += 1
                is_whole = line.endswith(b"\n")
                if not is_whole and len(line) == MAX_LINE_BYTES:
                    raise MemvitError(
                        f"{path}:{number}: a line of more than {MAX_LINE_BYTES:,} bytes is none of results"
                    )
                if not line.strip():
                    continue
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError) as error:
                    if not is_whole:  # the program that writes it was stopped, or is still writing
                        return
                    raise MemvitError(
                        f"{path}:{number}: this is not a line of JSON; was it written by memvit?"
                    ) from error
                yield number, value
    except OSError as error:
        raise MemvitError(sentence_of(error, path)) from error


def read_clips(path: str | Path) -> Iterator[ClipScores]:
    """The clips of a file of JSON Lines, as `memvit watch` writes it. MemvitError with the line if one is malformed."""
    for number, record in read_json_lines(path):
        try:
            clip = clip_of_record(record)
        except ValueError as error:
            raise MemvitError(f"{path}:{number}: {error}") from error
        yield clip


def hops_of(clips: Iterable[ClipScores]) -> dict[str, float]:
    """The hop of each stream in seconds: the median difference of consecutive clips of a session."""
    last: dict[str, tuple[int, float]] = {}
    differences: dict[str, list[float]] = defaultdict(list)
    for clip in clips:
        before = last.get(clip.stream_id)
        if before is not None and before[0] == clip.session and clip.seconds > before[1]:
            differences[clip.stream_id].append(clip.seconds - before[1])
        last[clip.stream_id] = clip.session, clip.seconds
    return {
        stream_id: median(differences[stream_id]) if differences[stream_id] else ONE_CLIP_HOP_SECONDS
        for stream_id in last
    }


def find_events(
    sources: Sequence[Callable[[], Iterable[ClipScores]]], rules: Rules, coverage: Coverage | None = None
) -> Iterator[Event]:
    """The events of clips that are read from each source in turn. Each source is called twice: for the hop, and for the
    events. A stream may go on from one source to the next.
    """
    hops = hops_of(clip for source in sources for clip in source())
    streams: dict[str, StreamEvents] = {}
    for source in sources:
        for clip in source():
            if coverage is not None:
                coverage.add(clip)
            if clip.stream_id not in streams:
                streams[clip.stream_id] = StreamEvents(
                    rules, clip.stream_id, hops.get(clip.stream_id, ONE_CLIP_HOP_SECONDS)
                )
            yield from streams[clip.stream_id].add(clip)
    for stream in streams.values():
        yield from stream.finish()
