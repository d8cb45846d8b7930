"""Text in pictures: legible sizes, visible spaces, times."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from memvit.results.text import clock, draw_text, font_size, load_font, shortened, text_width


@pytest.mark.parametrize(("width", "height"), [(340, 256), (426, 240), (640, 360), (608, 1080), (1920, 1080)])
def test_text_is_never_smaller_than_12_pixels(width: int, height: int) -> None:
    assert font_size(width, height) >= 12
    assert 40 * font_size(width, height) < 2 * max(width, height), "and takes no large part of the picture"


def test_text_grows_with_the_picture() -> None:
    assert font_size(3840, 2160) >= 2 * font_size(1920, 1080) - 1 >= 60


@pytest.mark.parametrize("size", [12, 13, 16, 40])
def test_words_are_apart_at_every_size(size: int) -> None:
    """The gap between words is wider than every gap between letters of a word."""
    image = Image.new("RGB", (60 * size, 2 * size))
    draw_text(ImageDraw.Draw(image), 2, 2, "ill mill hill", load_font(size), (255, 255, 255))
    ink = np.flatnonzero((np.asarray(image) > 60).any(axis=(0, 2)))
    gaps = np.sort(np.diff(ink) - 1)[::-1]
    assert gaps[1] >= 0.25 * size and gaps[1] >= gaps[2] + 2
    assert ink[-1] <= 2 + text_width("ill mill hill", load_font(size))


def test_long_text_is_cut_to_the_width() -> None:
    font = load_font(14)
    short = shortened("talk to (e.g., self, a person, a group)", font, 120)
    assert short.endswith("…") and text_width(short, font) <= 120
    assert shortened("wave", font, 120) == "wave"


def test_times_are_written_as_clocks() -> None:
    assert [clock(0), clock(59.99), clock(61), clock(3600), clock(-2.5)] == ["0:00", "0:59", "1:01", "1:00:00", "-0:02"]
    assert [clock(0.1, 1), clock(12.34, 1), clock(3599.99, 1)] == ["0:00.1", "0:12.3", "59:59.9"]
