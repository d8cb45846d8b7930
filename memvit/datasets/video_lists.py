"""Reads lists of videos with a class each, in the forms of Kinetics, Something-Something and PySlowFast.

A malformed line is reported with its place. A listed video that does not exist is reported when it is read;
`missing_videos` counts such videos beforehand.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memvit.labels import Labels, read_text
from memvit.types import MemvitError

VIDEO_SUFFIXES = (".mp4", ".webm", ".mkv", ".avi", ".mov")
FORMS = "Kinetics' CSV or JSON, Something-Something's JSON, or lines `path label`"


@dataclass(frozen=True)
class LabelledVideo:
    """One line of a list."""

    path: Path
    label: int
    """0, 1, 2, …"""


def read_video_list(path: str | Path, labels: Labels, root: str | Path | None = None) -> list[LabelledVideo]:
    """All videos of a list.

    Args:
        path: Kinetics CSV (`label,youtube_id,time_start,time_end,split`) or JSON (`{id: {"annotations": …}}`),
            Something-Something JSON (`[{"id": …, "template": …}]`), or PySlowFast's lines `path label`, separated by a
            space or a comma.
        labels: Class names; case and punctuation make no difference.
        root: Folder the videos lie in; by default that of the list. Kinetics videos are looked for as
            `ID_START_END.mp4` and `ID.mp4`, directly in it and in a folder named after the class.

    Raises:
        MemvitError: The list cannot be read, is empty, or a line is malformed.
    """
    path = Path(path)
    folder = Path(root) if root is not None else path.parent
    numbers = {_plain(name): index for index, name in enumerate(labels.names)}
    text = read_text(path, "the list of videos")
    if path.suffix == ".json":
        videos = list(_from_json(text, path, folder, numbers))
    elif re.match(r"\s*label\s*,\s*youtube_id", text):
        videos = list(_from_kinetics_csv(text, path, folder, numbers))
    else:
        videos = list(_from_lines(text, path, folder, len(labels)))
    if not videos:
        raise MemvitError(f"{path}: there are no videos in it; a list is {FORMS}")
    return videos


def missing_videos(videos: list[LabelledVideo]) -> list[LabelledVideo]:
    """The videos of a list that are not on disk. Kinetics loses some every year."""
    return [video for video in videos if not video.path.exists()]


def _from_lines(text: str, path: Path, folder: Path, num_classes: int) -> Iterator[LabelledVideo]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition("," if "," in line else " ")
        if not name or not label.strip().isdecimal():
            raise MemvitError(f"{path}:{number}: {line.strip()!r} is not `path label`; a list is {FORMS}")
        if int(label) >= num_classes:
            raise MemvitError(f"{path}:{number}: class {int(label)}, but there are {num_classes} classes, from 0")
        yield LabelledVideo(folder / name.strip(), int(label))


def _from_kinetics_csv(text: str, path: Path, folder: Path, numbers: dict[str, int]) -> Iterator[LabelledVideo]:
    for number, row in enumerate(csv.DictReader(text.splitlines()), 2):
        try:
            span = f"_{int(float(row['time_start'])):06d}_{int(float(row['time_end'])):06d}"
            name, label = row["youtube_id"], row["label"]
        except (KeyError, TypeError, ValueError) as error:
            raise MemvitError(
                f"{path}:{number}: this is not label,youtube_id,time_start,time_end,split ({error})"
            ) from error
        yield LabelledVideo(_kinetics_file(folder, label, name, span), _number(label, numbers, f"{path}:{number}"))


def _from_json(text: str, path: Path, folder: Path, numbers: dict[str, int]) -> Iterator[LabelledVideo]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise MemvitError(f"{path}:{error.lineno}: this is not valid JSON ({error.msg})") from error
    entries: list[tuple[str, Any]] = (
        list(content.items()) if isinstance(content, dict) else [(str(i), entry) for i, entry in enumerate(content)]
    )
    for key, entry in entries:
        place = f"{path}: entry {key}"
        try:
            if isinstance(content, dict):
                label = entry["annotations"]["label"]
                begin, end = entry["annotations"]["segment"]
                found = _kinetics_file(folder, label, key, f"_{int(begin):06d}_{int(end):06d}")
            else:
                label = re.sub(r"[\[\]]", "", entry["template"])
                found = _existing([folder / f"{entry['id']}{suffix}" for suffix in (".webm", ".mp4")])
        except (KeyError, TypeError, ValueError) as error:
            raise MemvitError(f"{place} is malformed ({error!r}); a list is {FORMS}") from error
        yield LabelledVideo(found, _number(label, numbers, place))


def _number(label: str, numbers: dict[str, int], place: str) -> int:
    number = numbers.get(_plain(label))
    if number is None:
        raise MemvitError(f"{place}: {label!r} is not among the {len(numbers)} class names; pass data.labels")
    return number


def _kinetics_file(folder: Path, label: str, name: str, span: str) -> Path:
    stems = [folder / sub / f"{name}{suffix}" for sub in (".", label, label.replace(" ", "_")) for suffix in (span, "")]
    return _existing([stem.with_name(stem.name + suffix) for stem in stems for suffix in VIDEO_SUFFIXES[:3]])


def _existing(candidates: list[Path]) -> Path:
    """The first path that exists, or the first one if none does."""
    return next((path for path in candidates if path.exists()), candidates[0])


def _plain(name: str) -> str:
    """A class name without the brackets, quotes, underscores and capitals in which its spellings differ."""
    return " ".join(re.sub(r"[^a-z0-9]+", " ", name.lower()).split())
