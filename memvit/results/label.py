"""The text beside a person in a picture: the number, and the actions with their scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from memvit.labels import Labels
from memvit.results.colours import INK, MUTED, PAPER, Colour, mixed, score_colour
from memvit.results.result import top_actions
from memvit.results.text import draw_text, load_font, shortened, text_width

DEFAULT_MIN_SCORE = 0.3
"""Actions with a lower score are not shown, except the best one, faintly, where none reaches it."""
OPACITY = 0.82
"""Of the dark ground of a label."""


@dataclass(frozen=True)
class Line:
    """One action, or a note."""

    name: str
    score: float | None = None
    """None for a note, which has neither score nor bar."""
    is_faint: bool = False
    """Whether the score is lower than the lowest that is shown otherwise."""


def lines_of(scores: NDArray[np.float32], labels: Labels, top_k: int, min_score: float) -> tuple[Line, ...]:
    """The best actions of one row of scores that reach `min_score`; the best one alone, faintly, where none does."""
    best = top_actions(scores, labels, top_k)
    lines = tuple(Line(action["name"], action["score"]) for action in best if action["score"] >= min_score)
    if lines or not best:
        return lines
    return (Line(best[0]["name"], best[0]["score"], is_faint=True),)


def draw_label(
    number: int | None, colour: Colour, lines: tuple[Line, ...], size: int, max_width: int
) -> NDArray[np.uint8]:
    """(height, width, 4) RGBA: the number on the person's colour, each action with its score, and the score as a bar.

    `size` is that of the font in pixels. A name is cut where the label would be wider than `max_width`.
    """
    font = load_font(size)
    pad, bar = max(3, round(size * 0.3)), max(3, round(size * 0.2))
    row = round(size * 1.3) + bar + 1
    chip = str(number) if number is not None else ""
    chip_width = text_width(chip, font) + 2 * pad if chip else pad
    texts = [_fitted(line, size, max_width - chip_width - 2 * pad) for line in lines]
    width = chip_width + (max(text_width(text, font) for text in texts) + 2 * pad if texts else 0)
    image = Image.new("RGBA", (width, row * max(len(lines), 1)), (*INK, round(255 * OPACITY)))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, chip_width - 1, image.height), fill=colour)
    top = round(size * 0.1)
    if chip:
        draw_text(draw, pad, top, chip, font, INK)
    full = width - chip_width - 2 * pad
    for index, (line, text) in enumerate(zip(lines, texts, strict=True)):
        left, y = chip_width + pad, index * row
        draw_text(draw, left, y + top, text, font, MUTED if line.is_faint or line.score is None else PAPER)
        if line.score is None:
            continue
        foot = y + row - bar - 1
        draw.rectangle((left, foot, left + full - 1, foot + bar - 1), fill=mixed(PAPER, 0.16))
        if line.score > 0:
            draw.rectangle(
                (left, foot, left + max(round(full * min(line.score, 1.0)), 1) - 1, foot + bar - 1),
                fill=score_colour(line.score),
            )
    return np.asarray(image)


def _fitted(line: Line, size: int, max_width: int) -> str:
    """Name and score; the name is cut, the score stays."""
    font = load_font(size)
    score = "" if line.score is None else f" {line.score:.2f}"
    return shortened(line.name, font, max_width - text_width(score, font)) + score
