"""Teaches an action, writes its head with a picture of its curve, and says how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memvit.store import Archive
from memvit.store.examples import Question, Taught, suggest, teach
from memvit.teaching import save_head
from memvit.teaching.curve_plot import draw_curve
from memvit.teaching.head import Reads
from memvit.teaching.moments import Moment, read_moments
from memvit.types import MemvitError

from .find import counted

NOT_BOTH_KINDS = "there are no labels of both kinds yet, so moments are chosen that differ from each other"
SHOWN_NOTES = 3
"""So many labels that were left out are named."""


@dataclass(frozen=True)
class TeachReport:
    """What was taught, and what to label next."""

    taught: Taught | None
    """None if there are no labels of both kinds yet."""
    questions: list[Question]
    notes: list[str]
    picture: Path | None = None


def run_teach(
    store: str, labels: Path, name: str | None, out: Path | None, *, reads: Reads | None, ask: int, picture: Path | None
) -> TeachReport:
    """Teach an action; with `out` its head is written, with `ask` moments to label next are chosen.

    Raises MemvitError if the labels are malformed, or if there are too few of them and nothing is to be asked.
    """
    archive, listed = Archive.open(store), read_moments(labels)
    notes = []
    if listed.replaced:
        notes.append(f"{counted(listed.replaced, 'label')} replaced by later lines about the same moment")
    if ask and out is None and not has_both_kinds(listed.moments):
        chosen = reads_without_head(archive, reads)
        notes.append(NOT_BOTH_KINDS)
        return TeachReport(None, suggest(archive, ask, reads=chosen, known=places_of(listed.moments)), notes)
    taught = teach(archive, listed.moments, name or "the action", reads=reads)
    missed = taught.examples.left_out
    notes += [f"left out: {reason}" for reason in missed[:SHOWN_NOTES]]
    notes += [f"and {len(missed) - SHOWN_NOTES} more labels were left out"] if len(missed) > SHOWN_NOTES else []
    drawn = None
    if out is not None:
        save_head(out, taught.head)
        validation = taught.fit.validation
        if validation is not None:
            drawn = picture or out.with_suffix(".png")
            draw_curve(validation, taught.head.name, drawn)
    questions = suggest(archive, ask, taught=taught) if ask else []
    return TeachReport(taught, questions, notes, drawn)


def has_both_kinds(labels: Sequence[Moment]) -> bool:
    """Whether there are labels with the action and without it, as teaching needs."""
    return len({moment.label for moment in labels}) == 2


def places_of(labels: Sequence[Moment]) -> list[tuple[str, float, int | None]]:
    """Return what labels are of: video, seconds, person."""
    return [(label.video, label.seconds, label.person) for label in labels]


def reads_without_head(archive: Archive, reads: Reads | None) -> Reads:
    """Return what is asked about until a head can be taught: people where there are any, unless clips are wanted."""
    return reads or ("people" if archive.provenance.boxes else "clips")


def taught_record(taught: Taught) -> dict[str, Any]:
    """All figures as plain values, with the points of the curve."""
    head, validation = taught.head, taught.fit.validation
    record: dict[str, Any] = {"name": head.name, "reads": head.reads, "threshold": head.threshold, **head.source}
    if validation is not None:
        points = zip(validation.logits, validation.precisions, validation.recalls, strict=True)
        record["curve"] = [
            {
                # Scores as the head gives them: 0.5 is the threshold.
                "logit": round(float(logit - validation.threshold_logit), 4),
                "precision": round(float(precision), 4),
                "recall": round(float(recall), 4),
            }
            for logit, precision, recall in points
        ]
    return record


def taught_text(taught: Taught) -> str:
    """How good a head is, for people."""
    source, validation = taught.head.source, taught.fit.validation
    rows = (
        f"{taught.head.name}: {counted(source['labels'], 'label')} ({source['with_action']} with the action) "
        f"of {counted(source['videos'], 'video')}, on {taught.head.reads}"
    )
    if validation is None:
        return f"{rows}; too few labels to say how good it is: at least two of both kinds are needed"
    held = "videos" if validation.by == "video" else "parts of the time (label more videos for a fair figure)"
    return (
        f"{rows}\non held-out {held}: average precision {validation.average_precision:.2f}; "
        f"at the threshold precision {validation.precision:.2f}, recall {validation.recall:.2f}"
    )


def check_wanted(name: str | None, out: Path | None, ask: int) -> None:
    """Raise MemvitError if there is nothing to do, or no name for it."""
    if out is None and not ask:
        raise MemvitError("name a file for the head with --out, or ask for moments to label with --suggest")
    if out is not None and name is None:
        raise MemvitError("name the action with --name")
