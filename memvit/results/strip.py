"""The strip below a picture: the time, and which seconds of the past the model read from memory."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from memvit.results.colours import GROUND, MEMORY, MUTED, PAPER, PRESENT, Colour, mixed, score_colour
from memvit.results.label import Line
from memvit.results.result import Result
from memvit.results.text import clock, draw_text, load_font, shortened, text_width

STRIP_SECONDS = 40.0
"""The smallest time span of the strip."""
REACH = 0.28
"""How strongly the reach of memory is coloured, between the background (0) and the clips that are read (1)."""
TICK_STEPS = (10, 30, 60, 300, 600, 1800, 3600)


class Strip:
    """Draws the strip for pictures of one size."""

    def __init__(self, width: int, height: int, size: int, *, has_lines: bool = False) -> None:
        """`width` and `height` are the picture's, `size` the font's; `has_lines` makes room for the actions of a clip
        classifier.
        """
        self.width = width
        self._size = size
        self._font = load_font(self._size)
        self._row = round(self._size * 1.5)
        self._lane = max(6, round(self._size * 0.7))
        self._pad = max(3, round(self._size * 0.35))
        self._has_lines = has_lines
        rows = self._row * (2 if has_lines else 1)
        self.height = rows + self._lane + 2 * self._pad
        self.height += (height + self.height) % 2  # H.264 halves the height

    def draw(self, result: Result, lines: tuple[Line, ...] = ()) -> NDArray[np.uint8]:
        """(height, width, 3): the strip of a clip, without the time. `lines` are the actions of the whole clip."""
        image = Image.new("RGB", (self.width, self.height), GROUND)
        draw = ImageDraw.Draw(image)
        left = self._pad * 2 + text_width("0:00:00.0", self._font)
        text = fitting_memory_text(result, self._size, self.width - left - self._pad)
        draw_text(draw, left, self._pad / 2, text, self._font, MUTED)
        if self._has_lines:
            self._draw_lines(draw, lines)
        self._draw_lane(draw, result)
        return np.array(image)

    def draw_time(self, strip: NDArray[np.uint8], pts_seconds: float) -> None:
        """Write the time of a frame into a strip, at its left."""
        image = Image.new("RGB", (text_width("0:00:00.0", self._font), self._row), GROUND)
        draw_text(ImageDraw.Draw(image), 0, self._pad / 2, clock(max(pts_seconds, 0.0), 1), self._font, PAPER)
        patch = np.asarray(image)[: self.height, : max(self.width - self._pad, 0)]
        strip[: patch.shape[0], self._pad : self._pad + patch.shape[1]] = patch

    def _draw_lines(self, draw: ImageDraw.ImageDraw, lines: tuple[Line, ...]) -> None:
        """The actions side by side, as many as fit, each with a square in the colour of its score."""
        x, y, side = self._pad, self._row, round(self._size * 0.7)
        for line in lines:
            score = line.score or 0.0
            text = f"{line.name} {score:.2f}"
            room = self.width - x - side - 2 * self._pad
            if x > self._pad and text_width(text, self._font) > room:
                break
            text = text if text_width(text, self._font) <= room else shortened(text, self._font, room)
            top = y + self._size * 0.35
            draw.rectangle((x, top, x + side, top + side), fill=score_colour(score), outline=MUTED)
            draw_text(
                draw, x + side + self._pad, y + self._pad / 2, text, self._font, MUTED if line.is_faint else PAPER
            )
            x += side + 4 * self._pad + text_width(text, self._font)

    def _draw_lane(self, draw: ImageDraw.ImageDraw, result: Result) -> None:
        """The past from left to right: this clip at the right edge, the clips that were read, and the reach."""
        bottom = self.height - self._pad
        top = bottom - self._lane
        span = max(STRIP_SECONDS, 1.1 * result.memory_reach_seconds)
        clip_seconds = max(result.end_seconds - result.start_seconds, 0.2)
        left, right = self._pad, self.width - self._pad

        def x(age_seconds: float) -> float:
            # The present clip ends at the right edge; ages count from its centre.
            return right - (age_seconds + clip_seconds / 2) / (span + clip_seconds) * (right - left)

        draw.rectangle((left, top, right, bottom), fill=mixed(PAPER, 0.08))
        if result.memory_reach_seconds:
            draw.rectangle((x(result.memory_reach_seconds), top, right, bottom), fill=mixed(MEMORY, REACH))
        step = next((step for step in TICK_STEPS if span / step <= 12), TICK_STEPS[-1])
        for age in range(step, int(span) + 1, step):
            draw.line((x(age), top, x(age), bottom), fill=mixed(PAPER, 0.3))

        def block(age_seconds: float, oldest_seconds: float, colour: Colour) -> None:
            # Narrower at the left, so that a gap separates clips and slots that touch.
            gap = 2 if oldest_seconds > age_seconds else 1
            first, last = x(oldest_seconds + clip_seconds / 2) + gap, x(age_seconds - clip_seconds / 2)
            draw.rectangle((first, top, max(first, last), bottom), fill=colour)

        for offset, oldest in zip(result.memory_offsets_seconds, oldest_of_blocks(result), strict=True):
            block(offset, oldest, MEMORY)
        block(0.0, 0.0, PRESENT)


def oldest_of_blocks(result: Result) -> tuple[float, ...]:
    """Age of the oldest clip in each block of the lane: a slot ends where the next one begins."""
    offsets = result.memory_offsets_seconds
    if not result.memory_in_slots or not offsets:
        return offsets
    clip_seconds = max(result.end_seconds - result.start_seconds, 0.2)
    ends = [max(age, older - clip_seconds) for age, older in itertools.pairwise(offsets)]
    return (*ends, max(offsets[-1], result.memory_reach_seconds))


def memory_texts(result: Result) -> list[str]:
    """What memory did, in words; each text is shorter than the one before."""
    if not result.memory_offsets_seconds:
        return ["no memory yet" if result.memory_clips else "no memory"]
    if result.memory_in_slots:
        newest, oldest = age_text(result.memory_offsets_seconds[0]), age_text(result.memory_reach_seconds)
        span = newest if newest == oldest else f"{newest} … {oldest}"
        return [f"memory: reads {span} ago", f"memory: {span} ago", f"memory: {oldest}", "memory"]
    ages = ", ".join(f"{offset:g}" for offset in result.memory_offsets_seconds)
    reach = f"{result.memory_reach_seconds:g}"
    return [
        f"memory: reads {ages} s ago, reaches {reach} s back",
        f"memory: {ages} s ago, reaches {reach} s",
        f"memory: {ages} s ago",
        f"memory: reaches {reach} s",
        "memory",
    ]


def age_text(seconds: float) -> str:
    """An age in seconds below two minutes, then in minutes, then in hours."""
    if seconds < 119.5:
        return f"{round(seconds, 1):g} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * 3600 - 30 else f"{seconds / 3600:.1f} h"


def fitting_memory_text(result: Result, size: int, width: float) -> str:
    """The longest of `memory_texts` that is not wider than `width` pixels, or the shortest one."""
    texts = memory_texts(result)
    return next((text for text in texts if text_width(text, load_font(size)) <= width), texts[-1])
