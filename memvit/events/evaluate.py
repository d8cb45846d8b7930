"""How well events agree with the truth: precision, recall and F1 by temporal intersection over union, and delays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from .intervals import Interval, Truth

IOU_THRESHOLDS = (0.1, 0.3, 0.5)


@dataclass
class Agreement:
    """Counts of one action, or of all."""

    truths: int = 0
    events: int = 0
    matched: dict[float, int] = field(default_factory=lambda: dict.fromkeys(IOU_THRESHOLDS, 0))
    """Pairs of an event and a truth at each threshold; each event and each truth is in one pair at most."""
    start_delays: list[float] = field(default_factory=list)
    """Seconds by which each paired event (at the lowest threshold) begins after its truth; negative if before."""
    told_delays: list[float] = field(default_factory=list)
    """Seconds from the beginning of each paired truth to the clip with which the event was told first."""

    def precision(self, threshold: float) -> float | None:
        """The part of the events that are paired; None without events."""
        return self.matched[threshold] / self.events if self.events else None

    def recall(self, threshold: float) -> float | None:
        """The part of the truth that is paired; None without truth."""
        return self.matched[threshold] / self.truths if self.truths else None

    def f1(self, threshold: float) -> float:
        """The harmonic mean of precision and recall; 0 where nothing is paired."""
        return 2 * self.matched[threshold] / max(self.events + self.truths, 1)

    def add(self, other: Agreement) -> None:
        """Count what `other` counts, too."""
        self.truths += other.truths
        self.events += other.events
        for threshold, count in other.matched.items():
            self.matched[threshold] += count
        self.start_delays += other.start_delays
        self.told_delays += other.told_delays

    def to_record(self) -> dict[str, Any]:
        """For JSON; `iou` has an object for each threshold."""
        return {
            "truths": self.truths,
            "events": self.events,
            "iou": {
                f"{threshold:g}": {
                    "matched": self.matched[threshold],
                    "precision": self.precision(threshold),
                    "recall": self.recall(threshold),
                    "f1": self.f1(threshold),
                }
                for threshold in IOU_THRESHOLDS
            },
            "start_delay_seconds": median(self.start_delays) if self.start_delays else None,
            "told_delay_seconds": median(self.told_delays) if self.told_delays else None,
        }


@dataclass(frozen=True)
class Evaluation:
    """The agreement of each action and of all together, and what was left out."""

    by_label: dict[str, Agreement]
    total: Agreement
    notes: tuple[str, ...]

    def to_record(self) -> dict[str, Any]:
        """For JSON."""
        actions = {label: agreement.to_record() for label, agreement in self.by_label.items()}
        return {"all": self.total.to_record(), "actions": actions, "notes": list(self.notes)}


def evaluate_events(truth: Truth, events: Sequence[Interval]) -> Evaluation:
    """Compare events with the truth. An event is of the action of the truth that its rule or its action names; events
    of other actions and of streams that the truth does not name are left out.
    """
    known = set(truth.labels)
    by_label: dict[str, list[Interval]] = defaultdict(list)
    other_streams: set[str] = set()
    other_labels: set[str] = set()
    for event in events:
        label = next((name for name in event.labels if name in known), None)
        if event.stream_id not in truth.stream_ids:
            other_streams.add(event.stream_id)
        elif label is None:
            other_labels.add(event.labels[0])
        else:
            by_label[label].append(event)
    found = {
        label: agreement_of([one for one in truth.intervals if one.labels[0] == label], by_label[label])
        for label in truth.labels
    }
    total = Agreement()
    for agreement in found.values():
        total.add(agreement)
    notes = []
    if other_streams:
        notes.append(f"left out: events of streams that the truth does not name ({', '.join(sorted(other_streams))})")
    if other_labels:
        notes.append(f"left out: events of rules that the truth does not name ({', '.join(sorted(other_labels))})")
    return Evaluation(found, total, tuple(notes))


def agreement_of(truths: Sequence[Interval], events: Sequence[Interval]) -> Agreement:
    """Pair the events of one action with its truth, so that there are as many pairs as possible at each threshold; of
    equally many, those that overlap most.
    """
    found = Agreement(len(truths), len(events))
    for some_truths, some_events in _overlapping(truths, events):
        overlaps = np.array([[temporal_iou(one, event) for event in some_events] for one in some_truths])
        for threshold in IOU_THRESHOLDS:
            is_enough = overlaps >= threshold - 1e-9
            rows, columns = linear_sum_assignment(-(is_enough * (len(some_truths) + len(some_events) + overlaps)))
            pairs = [(row, column) for row, column in zip(rows, columns, strict=True) if is_enough[row, column]]
            found.matched[threshold] += len(pairs)
            if threshold == IOU_THRESHOLDS[0]:
                for row, column in pairs:
                    began, event = some_truths[row].start_seconds, some_events[column]
                    found.start_delays.append(event.start_seconds - began)
                    if event.told_seconds is not None:
                        found.told_delays.append(event.told_seconds - began)
    return found


def temporal_iou(one: Interval, other: Interval) -> float:
    """Seconds that both share, divided by the seconds that they cover together; 1 for two equal instants."""
    shared = min(one.end_seconds, other.end_seconds) - max(one.start_seconds, other.start_seconds)
    covered = max(one.end_seconds, other.end_seconds) - min(one.start_seconds, other.start_seconds)
    return max(shared, 0.0) / covered if covered > 0 else 1.0


def _overlapping(
    truths: Iterable[Interval], events: Iterable[Interval]
) -> Iterable[tuple[list[Interval], list[Interval]]]:
    """Truths and events of one stream that overlap directly or through others; those in different groups do not."""
    marked = [(one.stream_id, one.start_seconds, one.end_seconds, 0, one) for one in truths]
    marked += [(one.stream_id, one.start_seconds, one.end_seconds, 1, one) for one in events]
    marked.sort(key=lambda entry: entry[:4])
    group: tuple[list[Interval], list[Interval]] = ([], [])
    stream, until = None, 0.0
    for stream_id, start, end, kind, interval in marked:
        if stream_id != stream or start > until:
            if group[0] and group[1]:
                yield group
            group, stream, until = ([], []), stream_id, end
        group[kind].append(interval)
        until = max(until, end)
    if group[0] and group[1]:
        yield group
