"""The colours of every picture: of people by their number, of scores from 0 to 1, and of what memory reads.

The annotated video, the timeline and the server's page take all their colours from here.
"""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from memvit.types import NO_PERSON

Colour: TypeAlias = tuple[int, int, int]
"""sRGB, 0 to 255."""

GROUND: Colour = (14, 17, 22)
"""The background, and the colour of the score 0."""
PAPER: Colour = (244, 247, 251)
"""Text on the background."""
MUTED: Colour = (150, 160, 175)
"""Text that matters less: axes, and an action below the lowest score that is shown."""
INK: Colour = (14, 17, 22)
"""Text on the colour of a person."""
PEOPLE: tuple[Colour, ...] = (
    (90, 200, 250),
    (255, 179, 64),
    (120, 220, 120),
    (255, 130, 165),
    (190, 160, 255),
    (240, 220, 90),
    (90, 225, 205),
    (255, 150, 110),
    (170, 200, 110),
    (240, 150, 235),
)
"""Colours of the people 1, 2, …; they repeat. All are light enough for dark text."""
NOBODY: Colour = (150, 158, 170)
"""A box that is no person yet."""
MEMORY: Colour = (90, 200, 250)
"""Past clips that memory reads."""
PRESENT: Colour = (255, 179, 64)
"""The clip that was answered last."""
SCORE_LEVELS = 256


def person_colour(number: int) -> Colour:
    """The colour of a person by the number; `NO_PERSON` is a box that is no person yet."""
    return NOBODY if number == NO_PERSON else PEOPLE[(number - 1) % len(PEOPLE)]


@cache
def score_scale() -> NDArray[np.uint8]:
    """(256, 3): the colours of the scores from 0 to 1.

    Lightness grows in equal steps for the eye (OKLab, Ottosson 2020), from the background to a light yellow, so that
    a higher score is brighter everywhere. Hue goes from blue over red to yellow.
    """
    steps = np.linspace(0.0, 1.0, SCORE_LEVELS)
    first = _to_oklab(np.array(GROUND))
    lightness = first[0] + (0.93 - first[0]) * steps
    hue = np.radians(np.interp(steps, (0.0, 0.35, 0.65, 1.0), (280.0, 350.0, 410.0, 460.0)))
    chroma = np.interp(steps, (0.0, 0.25, 0.6, 0.8, 1.0), (float(np.hypot(*first[1:])), 0.13, 0.16, 0.15, 0.11))
    scale = _from_oklab(np.stack((lightness, chroma * np.cos(hue), chroma * np.sin(hue)), axis=1))
    scale[0] = GROUND
    scale.setflags(write=False)
    return scale


def score_colour(score: float) -> Colour:
    """The colour of a score; below 0 and above 1 that of the nearest of the two."""
    place = round(min(max(score, 0.0), 1.0) * (SCORE_LEVELS - 1))
    red, green, blue = score_scale()[place].tolist()
    return red, green, blue


def mixed(colour: Colour, part: float) -> Colour:
    """A colour so strongly laid over the background."""
    red, green, blue = (round(low + part * (high - low)) for low, high in zip(GROUND, colour, strict=True))
    return red, green, blue


def lightness(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(…, 3) sRGB → (…,) perceived lightness, 0 for black and 1 for white."""
    return _to_oklab(colours)[..., 0]


def to_hex(colour: Colour) -> str:
    """As in CSS."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


_LMS_OF_RGB = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB_OF_LMS = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _to_oklab(colours: NDArray[np.generic]) -> NDArray[np.float64]:
    """(…, 3) sRGB, 0 to 255 → (…, 3) OKLab."""
    values = np.asarray(colours, dtype=np.float64) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    lab: NDArray[np.float64] = np.cbrt(linear @ _LMS_OF_RGB.T) @ _LAB_OF_LMS.T
    return lab


def _from_oklab(lab: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(…, 3) OKLab → (…, 3) sRGB, cut where the screen has no such colour."""
    linear = (lab @ np.linalg.inv(_LAB_OF_LMS).T) ** 3 @ np.linalg.inv(_LMS_OF_RGB).T
    linear = linear.clip(0, 1)
    values = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (values * 255).round().astype(np.uint8)
