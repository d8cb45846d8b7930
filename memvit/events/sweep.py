"""Tries start and keep scores of rules on results, and finds those that agree best with the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from .detect import StreamEvents
from .evaluate import Agreement, evaluate_events
from .event import Event
from .files import ONE_CLIP_HOP_SECONDS, hops_of
from .intervals import Truth, intervals_of
from .rules import Rule, Rules
from .scores import ClipScores

START_SCORES = tuple(round(0.05 * step, 2) for step in range(1, 20))
KEEP_PARTS = (1.0, 0.8, 0.6, 0.4)
"""Keep scores that are tried, as parts of the start score."""
BEST_IOU = 0.3
"""The threshold whose F1 decides which scores are best."""


@dataclass(frozen=True)
class Trial:
    """One pair of scores, and how the events agree with the truth."""

    start_score: float
    keep_score: float
    agreement: Agreement


@dataclass(frozen=True)
class Sweep:
    """All that was tried for one action of the truth."""

    label: str
    rule: Rule
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The trial with the highest F1 at 0.3; of equal ones by F1 at 0.5, then 0.1, then that whose events begin
        nearest to their truth, then the higher scores.
        """
        return max(self.trials, key=_merit)


def _merit(trial: Trial) -> tuple[float, ...]:
    found = trial.agreement
    late = median(map(abs, found.start_delays)) if found.start_delays else 0.0
    return (*(found.f1(iou) for iou in (BEST_IOU, 0.5, 0.1)), -late, trial.start_score, trial.keep_score)


def rule_for(label: str, rules: Rules | None) -> Rule:
    """The rule of an action of the truth: the one with this name, or with this action alone; otherwise a new one."""
    for rule in rules.rules if rules is not None else ():
        if rule.name.casefold() == label and rule.actions:
            return rule
    for rule in rules.rules if rules is not None else ():
        if any(isinstance(action, str) and action.casefold() == label for action in rule.actions):
            return rule
    return Rule(label, (label,))


def sweep(
    truth: Truth, sources: Sequence[Callable[[], Iterable[ClipScores]]], rules: Rules | None = None
) -> list[Sweep]:
    """Try scores for every action of the truth; all else is as in its rule. Each source is called twice."""
    hops = hops_of(clip for source in sources for clip in source())
    sweeps = {label: rule_for(label, rules) for label in truth.labels}
    grids = {label: _grid(rule) for label, rule in sweeps.items()}
    streams: dict[tuple[str, str], StreamEvents] = {}
    told: dict[str, list[Event]] = {label: [] for label in sweeps}
    for source in sources:
        for clip in source():
            if clip.stream_id not in truth.stream_ids:
                continue
            for label, rule in sweeps.items():
                key = label, clip.stream_id
                if key not in streams:
                    hop_seconds = hops.get(clip.stream_id, ONE_CLIP_HOP_SECONDS)
                    streams[key] = StreamEvents(Rules(tuple(grids[label])), clip.stream_id, hop_seconds)
                told[label] += _first_and_last(streams[key].add(_of_rule(clip, rule)))
    for (label, _), stream in streams.items():
        told[label] += stream.finish()
    return [Sweep(label, rule, _trials(label, truth, grids[label], told[label])) for label, rule in sweeps.items()]


def _grid(rule: Rule) -> list[Rule]:
    """The rule with its own and each other pair of scores, under names of their own; without `dwell_seconds`, which
    needs no score.
    """
    pairs = {(rule.start_score, rule.lowest_score)}
    pairs |= {(start, round(start * part, 4)) for start in START_SCORES for part in KEEP_PARTS}
    return [
        replace(rule, name=f"{start:g} {keep:g}", start_score=start, keep_score=keep, dwell_seconds=0)
        for start, keep in sorted(pairs)
    ]


def _of_rule(clip: ClipScores, rule: Rule) -> ClipScores:
    """The clip with the scores of the rule's actions only."""
    people = [
        replace(person, scores={action: score for action, score in person.scores.items() if rule.names(action)})
        for person in clip.people
    ]
    return replace(clip, people=tuple(people))


def _first_and_last(events: list[Event]) -> list[Event]:
    """Updates need not be kept."""
    return [event for event in events if event.state != "update"]


def _trials(label: str, truth: Truth, grid: list[Rule], told: list[Event]) -> tuple[Trial, ...]:
    of_label = truth_of(truth, label)
    by_rule: dict[str, list[Event]] = {rule.name: [] for rule in grid}
    for event in told:
        by_rule[event.rule].append(replace(event, rule=label, action=None))
    trials = []
    for rule in grid:
        found = evaluate_events(of_label, intervals_of(by_rule[rule.name]))
        trials.append(Trial(rule.start_score, rule.lowest_score, found.by_label[label]))
    return tuple(trials)


def truth_of(truth: Truth, label: str) -> Truth:
    """The truth of one action."""
    return replace(truth, intervals=tuple(one for one in truth.intervals if one.labels[0] == label))
