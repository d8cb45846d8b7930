"""From what a user names (files, folders, patterns, manifests, URLs) to a list of videos."""

from __future__ import annotations

import csv
import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from memvit.labels import read_text
from memvit.types import MemvitError
from memvit.video.location import VIDEO_SUFFIXES, is_url, redact

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
COLUMNS = ("location", "path", "video", "file", "url")


def find_videos(inputs: Sequence[str]) -> list[str]:
    """All videos that the inputs name, with absolute paths, each once, in the order given; a folder's sorted by name.

    A folder is searched with all below it; one of numbered images is a video itself. A manifest (.txt: a location a
    line; .csv: a column named location, path, video, file or url, or the first one) may name what does not exist: that
    is told of each such video when its turn comes. MemvitError if an input itself is not there or names no video.
    """
    found: dict[str, None] = {}
    for text in inputs:
        before = len(found)
        named = [name if is_url(name) else str(Path(name).absolute()) for name in _videos_of(text)]
        found.update(dict.fromkeys(named))
        if not named and len(found) == before:
            raise MemvitError(
                f"{redact(text)}: there is no video here; videos end in {', '.join(sorted(VIDEO_SUFFIXES))}"
            )
    return list(found)


def _videos_of(text: str) -> Iterator[str]:
    path = Path(text)
    if is_url(text):
        yield text
    elif path.is_dir():
        yield from _in_folder(path)
    elif path.suffix.lower() in (".txt", ".csv") and path.exists():
        yield from _in_manifest(path)
    elif path.exists():
        yield text
    elif glob.has_magic(text):
        for match in sorted(glob.glob(text, recursive=True)):  # noqa: PTH207 the pattern may be absolute
            yield from _in_folder(Path(match)) if Path(match).is_dir() else [match]
    else:
        raise MemvitError(f"{text}: there is no such file or folder; check the path")


def _in_folder(folder: Path) -> Iterator[str]:
    entries = sorted(folder.iterdir())
    has_more = any(entry.is_dir() or _is_video(entry) for entry in entries)
    if any(entry.suffix.lower() in IMAGE_SUFFIXES for entry in entries) and not has_more:
        yield str(folder)
        return
    for entry in entries:
        if entry.is_dir() and entry.suffix != ".zarr":
            yield from _in_folder(entry)
        elif _is_video(entry):
            yield str(entry)


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


def _in_manifest(path: Path) -> Iterator[str]:
    lines = read_text(path, "the list of videos").splitlines()
    named: Iterable[str] = lines
    if path.suffix.lower() == ".csv":
        table = [row for row in csv.reader(lines) if row]
        header = [name.strip().lower() for name in table[0]] if table else []
        column = next((header.index(name) for name in COLUMNS if name in header), None)
        for number, row in enumerate(table, 1):
            if len(row) <= (column or 0):
                raise MemvitError(f"{path}:{number}: there is no column {column} in this line")
        named = [row[column or 0] for row in (table if column is None else table[1:])]
    for name in named:
        text = name.strip()
        if text and not text.startswith("#"):
            yield text if is_url(text) else str(path.parent / text)
