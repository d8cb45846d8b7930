"""The colours of the pages, from the scheme of all pictures."""

from __future__ import annotations

from memvit.results.colours import (
    GROUND,
    INK,
    MEMORY,
    MUTED,
    NOBODY,
    PAPER,
    PEOPLE,
    PRESENT,
    score_scale,
    to_hex,
)

SCORE_STEP = 8
"""Every so many of the 256 colours of scores is sent; the page takes the nearest."""
DRAWN = "drawn-"
"""Colours with this prefix stay as in the pictures, on a light page too; those without it are the page's own."""


def colours_css() -> str:
    """Custom properties of CSS; a list of colours is separated by spaces."""
    levels = [*score_scale()[:-1:SCORE_STEP].tolist(), score_scale()[-1].tolist()]
    scores = [to_hex((red, green, blue)) for red, green, blue in levels]
    scheme = {
        "ground": GROUND,
        "ink": INK,
        "paper": PAPER,
        "muted": MUTED,
        "memory": MEMORY,
        "present": PRESENT,
        "nobody": NOBODY,
    }
    lines = {f"{prefix}{name}": to_hex(colour) for prefix in ("", DRAWN) for name, colour in scheme.items()}
    lines |= {"people": " ".join(map(to_hex, PEOPLE)), "scores": " ".join(scores)}
    return ":root {\n" + "".join(f"  --{name}: {value};\n" for name, value in lines.items()) + "}\n"
