"""Names of classes: the lists of public data sets, and lists that are read from a file."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from memvit.types import MemvitError

DATASETS = {
    "k400": "kinetics400",
    "k600": "kinetics600",
    "k700": "kinetics700",
    "ssv2": "ssv2",
    "ava": "ava80",
    "coco": "coco80",
}
"""Data-set tag of a model's name → list of class names."""

AVA_EVALUATED_IDS = frozenset(
    set(range(1, 81)) - {2, 16, 18, 19, 21, 23, 25, 31, 32, 33, 35, 39, 40, 42, 44, 50, 53, 55, 71, 75}
)
"""The 60 of AVA's 80 actions that the official evaluation counts."""


@dataclass(frozen=True)
class Labels:
    """The names of a model's classes, in the order of its scores."""

    names: tuple[str, ...]
    first_id: int = 0
    """The id of the first class in outputs: AVA counts its actions from 1."""

    def __len__(self) -> int:
        return len(self.names)


def labels_for(num_classes: int, dataset: str | None) -> Labels:
    """The names of a data set if it has this many classes; otherwise names with numbers."""
    first_id = 1 if dataset == "ava" else 0
    if dataset in DATASETS:
        text = (resources.files("memvit") / "data" / "labels" / f"{DATASETS[dataset]}.txt").read_text("utf-8")
        names = tuple(text.splitlines())
        if len(names) == num_classes:
            return Labels(names, first_id)
    return Labels(tuple(f"class {index + first_id}" for index in range(num_classes)), first_id)


def read_text(path: Path, what: str) -> str:
    """The content of a text file; MemvitError that names `what` if it cannot be read."""
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise MemvitError(f"{path}: {what} cannot be read ({reason}); check the path") from error


def read_labels(path: str | Path) -> Labels:
    """Names from a file: JSON (a list, or name → id), AVA's pbtxt in both forms, or text with one name per line.

    If the file has ids and none is 0, they count from 1; ids that are missing get names with numbers. MemvitError with
    the place if the file is malformed.
    """
    path = Path(path)
    text = read_text(path, "the class names")
    if path.suffix == ".json":
        return _from_json(text, path)
    if re.search(r"^\s*(item|label)\s*\{", text, re.MULTILINE):
        return _from_pbtxt(text, path)
    names = tuple(line.strip() for line in text.splitlines())
    for number, name in enumerate(names, 1):
        if not name:
            raise MemvitError(f"{path}:{number}: an empty line; a name is expected on every line")
    if not names:
        raise MemvitError(f"{path}: there are no class names in it")
    return Labels(names)


def check_labels(labels: Labels, num_classes: int, where: str | Path) -> None:
    """MemvitError if the names are not as many as the model's classes."""
    if len(labels) != num_classes:
        raise MemvitError(f"{where}: {len(labels)} class names, but the model has {num_classes} classes")


def _from_json(text: str, path: Path) -> Labels:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise MemvitError(f"{path}:{error.lineno}: this is not valid JSON ({error.msg})") from error
    if isinstance(content, list) and content and all(isinstance(name, str) for name in content):
        return Labels(tuple(content))
    if isinstance(content, dict) and content:
        try:
            return _numbered({int(number): str(name).strip('"') for name, number in content.items()}, path)
        except (TypeError, ValueError):
            pass
    raise MemvitError(f"{path}: a list of names, or an object of name: id, is expected")


def _from_pbtxt(text: str, path: Path) -> Labels:
    """`item { name: "run" id: 1 }` (2018) or `label { name: "run" label_id: 1 }` (2019), on one line or several."""
    found: dict[int, str] = {}
    for block in re.finditer(r"(?:item|label)\s*\{(.*?)\}", text, re.DOTALL):
        name = re.search(r"name:\s*\"(.*?)\"", block[1])
        number = re.search(r"\b(?:label_id|id):\s*(\d+)", block[1])
        line = text.count("\n", 0, block.start()) + 1
        if not name or not number:
            raise MemvitError(f"{path}:{line}: an entry needs a name and an id")
        found[int(number[1])] = name[1]
    return _numbered(found, path)


def _numbered(names: dict[int, str], path: Path) -> Labels:
    if not names or min(names) < 0:
        raise MemvitError(f"{path}: ids must be 0 or more")
    first_id = 0 if 0 in names else 1
    return Labels(tuple(names.get(number, f"class {number}") for number in range(first_id, max(names) + 1)), first_id)
