"""Text in pictures: one font, sizes for any width, and spaces that stay visible when letters are small."""

from __future__ import annotations

from functools import cache

from PIL import ImageDraw, ImageFont

from memvit.results.colours import Colour

MIN_FONT_SIZE = 12
"""Smaller text is not legible."""
SPACE = 0.3
"""The width of a space is at least this part of the font's size; the font's own is too narrow at small sizes."""


def font_size(width: int, height: int) -> int:
    """Size in pixels of the text in a picture of this size: legible in small ones, in proportion in large ones."""
    return max(MIN_FONT_SIZE, round(min(height / 28, width / 44)))


@cache
def load_font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font, which needs no file of the system."""
    font = ImageFont.load_default(size=size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # it is a bitmap only where Pillow was built without FreeType
    return font


def space_width(font: ImageFont.FreeTypeFont) -> int:
    """Pixels between two words."""
    return max(round(font.getlength(" ")), -round(-SPACE * font.size))


def text_width(text: str, font: ImageFont.FreeTypeFont) -> int:
    """Width in pixels of one line as `draw_text` draws it."""
    words = text.split(" ")
    return sum(-round(-font.getlength(word)) for word in words) + space_width(font) * (len(words) - 1)


def draw_text(
    draw: ImageDraw.ImageDraw, x: float, y: float, text: str, font: ImageFont.FreeTypeFont, colour: Colour
) -> None:
    """Draw one line word by word; (x, y) is its upper left corner."""
    for word in text.split(" "):
        draw.text((x, y), word, font=font, fill=colour)
        x += -round(-font.getlength(word)) + space_width(font)


def shortened(text: str, font: ImageFont.FreeTypeFont, max_width: float) -> str:
    """The text, cut where it is wider than `max_width` pixels; an ellipsis shows that it was cut."""
    short = text
    while text_width(short, font) > max_width and len(text) > 4:
        text = text[:-1].rstrip()
        short = f"{text}…"
    return short


def clock(seconds: float, decimals: int = 0) -> str:
    """m:ss, or h:mm:ss from an hour on, with so many decimals of a second; a negative time has a minus."""
    units = 10**decimals
    ticks = int(abs(seconds) * units + 1e-6)
    whole, part = divmod(ticks, units)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if seconds < 0 and ticks else ""
    text = f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
    return f"{sign}{text}.{part:0{decimals}d}" if decimals else f"{sign}{text}"
