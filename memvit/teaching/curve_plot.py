"""Draws the curve of precision over recall of a taught action."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from memvit.os_errors import sentence_of
from memvit.types import MemvitError

from .validation import Validation

INCHES, DOTS = (4.8, 4.0), 110


def draw_curve(validation: Validation, title: str, path: Path) -> None:
    """Write a PNG. Raises MemvitError if that fails."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=INCHES, layout="constrained")
    recalls = [0.0, *validation.recalls]
    precisions = [float(validation.precisions[0]), *validation.precisions]
    axes.step(recalls, precisions, where="pre", color="#1f6f8b")
    at = f"threshold: precision {validation.precision:.2f}, recall {validation.recall:.2f}"
    axes.plot(validation.recall, validation.precision, "o", color="#c1440e", label=at)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.set_title(f"{title}: average precision {validation.average_precision:.2f}", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize=8)
    _save(figure, path)


def draw_growth(curves: Mapping[str, tuple[list[int], list[float]]], title: str, path: Path) -> None:
    """Write a PNG with average precision over numbers of labels, one line a name. Raises MemvitError if that fails."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5.6, 3.6), layout="constrained")
    for (name, (counts, values)), marker in zip(curves.items(), "osD^v", strict=False):
        axes.plot(counts, values, marker=marker, markersize=4, label=name)
    axes.set(xlabel="labels", ylabel="average precision", ylim=(0, 1.02), xscale="log")
    ticks = sorted({count for counts, _ in curves.values() for count in counts})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    _save(figure, path)


def _save(figure: object, path: Path) -> None:
    from matplotlib import pyplot

    try:
        figure.savefig(path, dpi=DOTS)  # type: ignore[attr-defined]
    except OSError as error:
        raise MemvitError(sentence_of(error, path)) from error
    finally:
        pyplot.close(figure)  # type: ignore[arg-type]
