"""A picture of a whole video: time on the x axis, for each person the actions that were seen, and scores as colours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator
from numpy.typing import NDArray

from memvit.boxes.match import PersonMatcher
from memvit.labels import Labels
from memvit.results.colours import GROUND, MUTED, PAPER, mixed, person_colour, score_scale, to_hex
from memvit.results.label import DEFAULT_MIN_SCORE
from memvit.results.persons import person_name, with_persons
from memvit.results.result import Result
from memvit.results.text import clock
from memvit.types import NO_PERSON

MAX_PEOPLE = 8
"""The people who were seen longest are drawn; more rows would not be legible."""
MAX_COLUMNS = 1000
"""A longer video has several clips in a column, which shows the highest score of them."""
CLOCK_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
"""Seconds between two times on the axis."""
MAX_TIMES = 10
LINE = 0.1
"""Thickness of the line that shows when a person was seen, in rows."""
MAX_NAME = 40
"""Longer names of actions are cut."""


@dataclass(frozen=True)
class PersonRows:
    """The rows of one person."""

    number: int | None
    """The person's number; None for a clip classifier."""
    actions: list[int]
    """Class indices, the highest score first."""
    scores: NDArray[np.float32]
    """(actions, clips), NaN where the person was not seen."""
    session: int = 0
    """The session of the stream in which the person has this number."""
    is_faint: bool = False
    """Whether no action reached the lowest score that is shown: the best one stands for all."""

    @property
    def title(self) -> str:
        """What the rows are called."""
        return "whole picture" if self.number is None else person_name(self.number, self.session)


def people_rows(
    results: Sequence[Result], actions_each: int, min_score: float = DEFAULT_MIN_SCORE
) -> tuple[list[PersonRows], int]:
    """The people of a video who were seen longest, in the order of sessions and numbers, and how many there are in all.

    Each has the actions that reached `min_score` at any time, at most `actions_each`, or the best one if none did.
    Boxes that are no person are left out. Where nobody tracks, people are matched by their boxes.
    """
    scores: dict[tuple[int, int], dict[int, NDArray[np.float32]]] = defaultdict(dict)
    matcher = PersonMatcher()
    for place, result in enumerate(results):
        boxes = with_persons(result, matcher).boxes
        numbers = [0] if boxes is None or boxes.persons is None else boxes.persons.tolist()
        session = 0 if boxes is None else result.session  # the whole picture has the same rows in all sessions
        for number, row in zip(numbers, result.scores, strict=True):
            if number != NO_PERSON:
                scores[session, number][place] = row
    longest = sorted(scores, key=lambda person: (-len(scores[person]), person))[:MAX_PEOPLE]
    rows, has_no_people = [], results[0].boxes is None
    for session, number in sorted(longest):
        seen = scores[session, number]
        best = np.max(list(seen.values()), axis=0)
        order = np.argsort(-best, kind="stable")[:actions_each].tolist()
        shown = [action for action in order if best[action] >= min_score]
        actions = shown or order[:1]
        grid = np.full((len(actions), len(results)), np.nan, dtype=np.float32)
        for place, row in seen.items():
            grid[:, place] = row[actions]
        rows.append(PersonRows(None if has_no_people else number, actions, grid, session, is_faint=not shown))
    return rows, len(scores)


def columns(
    centres: NDArray[np.float64], scores: NDArray[np.float32], count: int = MAX_COLUMNS
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """(clips,) centres in seconds and (actions, clips) scores → (columns + 1,) edges and (actions, columns) scores.

    Columns are equally wide, one hop or more, and at most `count`; each has the highest score of its clips, NaN where
    there is no clip.
    """
    hop = float(np.median(np.diff(centres))) if len(centres) > 1 else 1.0
    span = float(centres[-1] - centres[0]) + hop
    wide = max(hop, span / count)
    total = max(round(span / wide), 1)
    place = ((centres - centres[0] + hop / 2) / wide).astype(np.int64).clip(0, total - 1)
    grid = np.full((total, len(scores)), np.nan, dtype=np.float32)
    np.fmax.at(grid, place, scores.T)
    return centres[0] - hop / 2 + wide * np.arange(total + 1), grid.T


def draw_timeline(
    results: Sequence[Result],
    labels: Labels,
    path: str | Path,
    *,
    title: str = "",
    actions_each: int = 5,
    min_score: float = DEFAULT_MIN_SCORE,
) -> None:
    """Write a PNG of the results of one stream, in order. ValueError if there are none. `people_rows` says who is in
    it.
    """
    if not results:
        raise ValueError("there are no results to draw")
    people, count = people_rows(results, actions_each, min_score)
    heights = [len(person.actions) for person in people] or [1]
    figure = Figure(
        figsize=(11, 1.35 + 0.27 * max(sum(heights), 2) + 0.1 * len(heights)),
        dpi=110,
        layout="constrained",
        facecolor=to_hex(GROUND),
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    centres = np.array([result.centre_seconds for result in results])
    edges, _ = columns(centres, np.zeros((0, len(results)), np.float32))
    if not people:
        axes[0].text(0.5, 0.5, "nobody was seen", ha="center", color=to_hex(MUTED), transform=axes[0].transAxes)
        axes[0].set_yticks([])
    for axis in axes:
        axis.set_facecolor(to_hex(GROUND))
        axis.set_xlim(edges[0], edges[-1])
        for side in axis.spines.values():
            side.set_visible(False)
        axis.tick_params(colors=to_hex(MUTED), length=0)
    for axis, person in zip(axes, people, strict=False):
        _draw_person(axis, person, labels, centres)
    _draw_clock(axes[-1], float(edges[-1] - edges[0]))
    cut = f"{len(people)} of {count} people, those seen longest" if count > len(people) else ""
    figure.suptitle(" · ".join(filter(None, (title, cut))), fontsize=11, x=0.01, ha="left", color=to_hex(PAPER))
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), ListedColormap(score_scale() / 255)), ax=list(axes), fraction=0.03, pad=0.01
    )
    bar.set_label("score", color=to_hex(MUTED))
    bar.ax.tick_params(colors=to_hex(MUTED), labelsize=8)
    bar.outline.set_edgecolor(to_hex(mixed(PAPER, 0.3)))
    figure.align_ylabels(list(axes))
    figure.savefig(path)


def _draw_person(axis: Axes, person: PersonRows, labels: Labels, centres: NDArray[np.float64]) -> None:
    edges, scores = columns(centres, person.scores)
    rows = np.arange(len(person.actions) + 1)
    axis.pcolormesh(edges, rows, scores, cmap=ListedColormap(score_scale() / 255), vmin=0, vmax=1)
    axis.set_yticks(rows[:-1] + 0.5, [_cut(labels.names[index]) for index in person.actions])
    axis.tick_params(axis="y", labelsize=8, labelcolor=to_hex(MUTED if person.is_faint else PAPER))
    colour = PAPER if person.number is None else person_colour(person.number)
    axis.set_ylabel(person.title, fontsize=9, color=to_hex(colour), rotation=0, ha="right", va="center", labelpad=8)
    # A line above the rows shows when the person was seen, so that a score of 0 is not taken for absence.
    seen = np.where(np.isnan(scores[:1]), 0.0, 1.0)
    line = ListedColormap([to_hex(mixed(colour, 0.15)), to_hex(colour)])
    axis.pcolormesh(edges, [-LINE, 0], seen, cmap=line, vmin=0, vmax=1)
    axis.set_ylim(len(person.actions), -LINE)


def _cut(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1].rstrip()}…"


def _draw_clock(axis: Axes, span_seconds: float) -> None:
    """Write m:ss below the axis, few enough to be legible."""
    step = next((step for step in CLOCK_STEPS if span_seconds / step <= MAX_TIMES), None)
    axis.xaxis.set_major_locator(MaxNLocator(MAX_TIMES) if step is None else MultipleLocator(step))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(seconds)))
    axis.tick_params(axis="x", labelsize=9)
