"""Finds the videos that a user names by files, folders, patterns, lists and URLs."""

from __future__ import annotations

import csv
import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from memvit.labels import read_text
from memvit.types import MemvitError
from memvit.video.sources.location import VIDEO_SUFFIXES, is_camera, is_url, redact

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
COLUMNS = ("location", "path", "video", "file", "url")
"""Names of the column of a .csv list that holds the videos, the preferred ones first."""


def find_videos(inputs: Sequence[str], on_note: Callable[[str], None] = lambda note: None) -> list[str]:
    """Return all videos that the inputs name, each once, with absolute paths, in the order of the inputs.

    A folder is searched with everything below it, sorted by name; a folder of numbered images is one video. A list is a
    .txt file with one location per line, or a .csv file with a column named location, path, video, file or url, or the
    videos in its first column; it may name files that do not exist, which fail when they are opened. A file with
    several names is one video, under the name that comes first. `on_note` is called with a sentence for everything that
    is left out. Raises MemvitError if an input does not exist or names no video.
    """
    found: dict[str, str] = {}
    for text in inputs:
        named = list(_videos_of(text, on_note))
        if not named:
            raise MemvitError(
                f"{redact(text)}: there is no video here; videos end in {', '.join(sorted(VIDEO_SUFFIXES))}"
            )
        for name in named:
            location = name if is_url(name) else str(Path(name).absolute())
            first = found.setdefault(name if is_url(name) else os.path.realpath(name), location)
            if first != location:
                on_note(f"{location}: it is the same file as {first}, which is taken")
    return list(found.values())


def refuse_special(location: str) -> None:
    """Raise MemvitError if a path is a pipe, a socket or a device, because opening one may block forever."""
    if is_url(location) or is_camera(location):
        return
    try:
        mode = Path(location).stat().st_mode
    except OSError:
        return  # Opening it will fail with a sentence that says why.
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        kind = "a named pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise MemvitError(f"{location}: it is {kind} and not a video file; leave it out")


def _videos_of(text: str, on_note: Callable[[str], None]) -> Iterator[str]:
    path = Path(text)
    if is_url(text):
        yield text
    elif path.is_dir():
        yield from _in_folder(path, set(), on_note, is_named=True)
    elif path.suffix.lower() in (".txt", ".csv") and path.exists():
        refuse_special(text)
        yield from _in_manifest(path)
    elif path.exists():
        yield text
    elif glob.has_magic(text):
        for match in sorted(glob.glob(text, recursive=True)):  # noqa: PTH207 the pattern may be absolute
            yield from _in_folder(Path(match), set(), on_note) if Path(match).is_dir() else [match]
    else:
        raise MemvitError(f"{text}: there is no such file or folder; check the path")


def _in_folder(
    folder: Path, seen: set[str], on_note: Callable[[str], None], *, is_named: bool = False
) -> Iterator[str]:
    """Yield the videos in a folder; `seen` holds the folders that were searched, so that a circle of links ends.

    Links come last, so that a file is found under its own name if that is in the folder, too.
    """
    seen.add(os.path.realpath(folder))
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        if is_named:
            raise MemvitError(f"{folder}: this folder cannot be read ({error.strerror})") from error
        on_note(f"{folder}: left out, because this folder cannot be read ({error.strerror})")
        return
    has_more = any(_is_folder(entry) or _is_video(entry) for entry in entries)
    if any(entry.suffix.lower() in IMAGE_SUFFIXES for entry in entries) and not has_more:
        yield str(folder)
        return
    for entry in sorted(entries, key=Path.is_symlink):
        if entry.suffix == ".zarr":
            continue
        if _is_folder(entry):
            if os.path.realpath(entry) not in seen:
                yield from _in_folder(entry, seen, on_note)
        elif _is_video(entry):
            try:
                refuse_special(str(entry))
            except MemvitError as error:
                on_note(str(error))
                continue
            yield str(entry)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # Its folder may be listed but not entered.
        return False


def _is_video(path: Path) -> bool:
    try:
        return path.suffix.lower() in VIDEO_SUFFIXES and path.exists() and not path.is_dir()
    except OSError:
        return False


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
