"""Ids of streams: letters, digits and `_.-` only, so that paths, file names and events can hold them unescaped."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Container

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
MADE_CHARACTERS = 56
"""Length of an id that is made from a name; the other characters of the 64 are for a number."""


def is_id(text: object) -> bool:
    """Whether a stream may have this id."""
    return isinstance(text, str) and re.fullmatch(ID_PATTERN[1:-1], text) is not None


def free_id(name: str, taken: Container[str]) -> str:
    """An id that resembles a name and is not taken: `my holiday` → `my_holiday`, `my_holiday-2`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    stem = re.sub(r"[^A-Za-z0-9.-]+", "_", plain).strip("_.-")[:MADE_CHARACTERS] or "stream"
    ids = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(found for found in ids if found not in taken)
