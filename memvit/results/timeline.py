"""A picture of a whole video: time on the x axis, for each person a row for each action, and the score as colour."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memvit.boxes.match import PersonMatcher
from memvit.labels import Labels
from memvit.results.result import Result

MAX_PEOPLE = 8
"""The people who were seen longest are drawn; more rows would not be legible."""


@dataclass(frozen=True)
class PersonRows:
    """The rows of one person."""

    title: str
    actions: list[int]
    """Class indices, the highest score first."""
    scores: NDArray[np.float32]
    """(actions, clips), NaN where the person was not seen."""


def people_rows(results: Sequence[Result], actions_each: int) -> list[PersonRows]:
    """The people of a video, those seen longest first, each with the actions that scored highest at any time."""
    scores: dict[int, dict[int, NDArray[np.float32]]] = defaultdict(dict)
    matcher = PersonMatcher()
    for place, result in enumerate(results):
        numbers = [0] if result.boxes is None else matcher.number(result.boxes.xyxy)
        for number, row in zip(numbers, result.scores, strict=True):
            scores[number][place] = row
    longest = sorted(scores, key=lambda number: (-len(scores[number]), number))[:MAX_PEOPLE]
    rows = []
    for number in sorted(longest):
        seen = scores[number]
        best = np.max(list(seen.values()), axis=0)
        actions = np.argsort(-best, kind="stable")[:actions_each].tolist()
        grid = np.full((len(actions), len(results)), np.nan, dtype=np.float32)
        for place, row in seen.items():
            grid[:, place] = row[actions]
        is_clip = results[0].boxes is None
        rows.append(PersonRows("clip" if is_clip else f"person {number + 1}", actions, grid))
    return rows


def draw_timeline(
    results: Sequence[Result], labels: Labels, path: str | Path, *, title: str = "", actions_each: int = 5
) -> None:
    """Write a PNG of the results of one stream, in order. ValueError if there are none."""
    if not results:
        raise ValueError("there are no results to draw")
    people = people_rows(results, actions_each)
    lines = sum(len(person.actions) for person in people) + len(people)
    figure = Figure(figsize=(11, 1.3 + 0.26 * max(lines, 3)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    hop = np.median(np.diff([result.centre_seconds for result in results])) if len(results) > 1 else 1.0
    edges = [result.centre_seconds - hop / 2 for result in results] + [results[-1].centre_seconds + hop / 2]
    if not people:
        figure.text(0.5, 0.5, "nobody was seen", ha="center")
    axes = figure.subplots(
        max(len(people), 1),
        1,
        sharex=True,
        squeeze=False,
        height_ratios=[len(person.actions) for person in people] or [1],
    )[:, 0]
    highest = max((float(np.nanmax(person.scores)) for person in people), default=1.0)
    mesh = None
    for axis, person in zip(axes, people, strict=False):
        mesh = axis.pcolormesh(
            edges, np.arange(len(person.actions) + 1), person.scores, cmap="magma_r", vmin=0, vmax=highest
        )
        axis.set_yticks(np.arange(len(person.actions)) + 0.5, [labels.names[index] for index in person.actions])
        axis.tick_params(axis="y", labelsize=8, length=0)
        axis.invert_yaxis()
        axis.set_ylabel(person.title, fontsize=9)
        axis.set_facecolor("#eeeeee")
    axes[-1].set_xlabel("seconds")
    if title:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    if mesh is not None:
        figure.colorbar(mesh, ax=list(axes), label="score", fraction=0.03, pad=0.01)
    figure.savefig(path)
