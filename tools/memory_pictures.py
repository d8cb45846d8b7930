"""Draw what each kind of memory reads of the past: python -m tools.memory_pictures docs/images"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from memvit.models.slots import filled_slots, slot_ranges

READS = (1, 2, 4, 8, 16)
SLOTS = 12
AGES = (12, 20, 40)
"""How many clips the streams have seen, one row each."""
READ, SLOT, LOST, NOW = "#2f80ed", ("#2f80ed", "#7fb2f5"), "#dddddd", "#f2a33a"


def box(axes: Axes, first: int, last: int, row: int, colour: str, text: str = "") -> None:
    """The clips from offset `first` back to offset `last`, as one box."""
    axes.add_patch(
        Rectangle((-last - 0.46, row - 0.34), last - first + 0.92, 0.68, facecolor=colour, edgecolor="white")
    )
    if text:
        axes.text(-(first + last) / 2, row, text, ha="center", va="center", fontsize=7, color="white")


def draw_reads(axes: Axes) -> None:
    """Clips at fixed offsets; all others are grey."""
    for row, age in enumerate(AGES):
        for offset in range(1, age + 1):
            box(axes, offset, offset, row, READ if offset in READS else LOST)


def draw_slots(axes: Axes) -> None:
    """Every clip lies in a slot; the number says how many clips a slot holds."""
    for row, age in enumerate(AGES):
        ages = torch.tensor([age])
        first, last = (offsets[0].tolist() for offsets in slot_ranges(ages, SLOTS))
        filled = filled_slots(ages, SLOTS)[0].tolist()
        held = [span for span, is_filled in zip(zip(first, last, strict=True), filled, strict=True) if is_filled]
        for number, (near, far) in enumerate(reversed(held)):
            box(axes, near, far, row, SLOT[number % 2], str(far - near + 1))


def main() -> None:
    """Write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, draw in (("memory_reads", draw_reads), ("memory_slots", draw_slots)):
        figure = Figure(figsize=(9, 2.2), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        for row in range(len(AGES)):
            box(axes, 0, 0, row, NOW)
        axes.set(xlim=(-max(AGES) - 1, 1), ylim=(len(AGES) - 0.5, -0.5), xlabel="clips ago")
        axes.set_xticks([-offset for offset in (0, 2, 4, 8, 16, 32)], ["now", "2", "4", "8", "16", "32"])
        axes.set_yticks(range(len(AGES)), [f"after {age} clips" for age in AGES])
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(left=False)
        figure.savefig(folder / f"{name}.png", dpi=150)
        print(folder / f"{name}.png")


if __name__ == "__main__":
    main()
