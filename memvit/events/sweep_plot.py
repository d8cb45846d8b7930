"""A picture of a sweep: for each action, F1 over the start score, a line for each keep score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .sweep import BEST_IOU, KEEP_PARTS, Sweep

COLUMNS = 3
"""The largest number of pictures side by side."""
COLOURS = ("#1b4965", "#2a9d8f", "#e9a03b", "#c44536")
"""One for each of `KEEP_PARTS`."""


def draw_sweep(sweeps: Sequence[Sweep], path: str | Path) -> None:
    """Write a PNG. ValueError if there is nothing to draw."""
    if not sweeps:
        raise ValueError("there are no actions to draw")
    columns = min(COLUMNS, math.ceil(math.sqrt(len(sweeps))))
    rows = -(-len(sweeps) // columns)
    figure = Figure(figsize=(4.2 * columns, 0.6 + 2.9 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axis, sweep in zip(axes, sweeps, strict=False):
        for part, colour in zip(KEEP_PARTS, COLOURS, strict=True):
            trials = [trial for trial in sweep.trials if trial.keep_score == round(trial.start_score * part, 4)]
            axis.plot(
                [trial.start_score for trial in trials],
                [trial.agreement.f1(BEST_IOU) for trial in trials],
                color=colour,
                linewidth=1.6,
                label=f"{part:g} × start_score",
            )
        best = sweep.best
        axis.plot(best.start_score, best.agreement.f1(BEST_IOU), "o", color="black", markersize=6, label="best")
        axis.set_title(f"{sweep.label}: best from {best.start_score:g}, kept from {best.keep_score:g}", fontsize=10)
        axis.set_xlim(0, 1)
        axis.set_ylim(-0.02, 1.02)
        axis.grid(color="#dddddd", linewidth=0.6)
    for axis in axes[len(sweeps) :]:
        axis.set_visible(False)
    for axis in axes[max(len(sweeps) - columns, 0) : len(sweeps)]:
        axis.set_xlabel("start_score")
        axis.tick_params(labelbottom=True)
    for axis in axes[::columns]:
        axis.set_ylabel(f"F1 at IoU {BEST_IOU:g}")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, title="keep_score", loc="outside right upper", fontsize=9, frameon=False)
    figure.savefig(path)
