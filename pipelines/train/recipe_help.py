"""Lists the keys of a recipe for people: name, value, type and meaning of each."""

from __future__ import annotations

import textwrap
from typing import Any

from memvit.training.recipe import Recipe
from memvit.training.recipe_keys import keys_of, meanings_of, value_of, written


def key_rows(recipe: Recipe) -> list[dict[str, Any]]:
    """Every key with its value in this recipe, its default, its type in words, and what it means."""
    meanings = meanings_of(type(recipe))
    return [
        {
            "key": key.name,
            "value": value_of(recipe, key.name),
            "default": key.default,
            "type": key.kind,
            "meaning": meanings[key.name],
        }
        for key in keys_of(type(recipe)).values()
    ]


def key_text(recipe: Recipe, width: int = 80) -> str:
    """The rows of `key_rows` as lines of at most `width` characters, unless a single word is longer."""
    lines = []
    for row in key_rows(recipe):
        value, default = written(row["value"]), written(row["default"])
        changed = "" if value == default else f"; default {default}"
        for indent, text in (("", f"{row['key']}={value}  ({row['type']}{changed})"), ("    ", row["meaning"])):
            lines += textwrap.wrap(
                text,
                width,
                initial_indent=indent,
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
    return "\n".join(lines)
