"""The pictures that a command is to look at: found in folders, and numbered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memvit.types import MemvitError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class Picture:
    """One file."""

    path: Path
    image_id: int
    """Its number in the results: the number that is its name, as in COCO, else its place."""


def find_pictures(locations: Sequence[Path]) -> list[Picture]:
    """The files that are named, and those of folders by their names. MemvitError if there is none at a location."""
    paths: list[Path] = []
    for location in locations:
        if location.is_dir():
            inside = sorted(path for path in location.iterdir() if path.suffix.lower() in SUFFIXES)
            if not inside:
                raise MemvitError(f"{location}: there are no pictures in this folder ({', '.join(SUFFIXES)})")
            paths += inside
        elif location.is_file():
            paths.append(location)
        else:
            raise MemvitError(f"{location}: there is no such picture or folder; check the path")
    paths = list(dict.fromkeys(paths))
    numbers = [int(path.stem) if path.stem.isascii() and path.stem.isdigit() else None for path in paths]
    if None in numbers or len(set(numbers)) < len(numbers):
        return [Picture(path, place) for place, path in enumerate(paths, 1)]
    return [Picture(path, number) for path, number in zip(paths, numbers, strict=True) if number is not None]
