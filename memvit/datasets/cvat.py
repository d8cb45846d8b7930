"""Converts annotations made with CVAT ("CVAT for video 1.1") to AVA's format, with one keyframe per second.

A track is a person; an attribute of its boxes that is a checkbox is an action of that name, one with text values is an
action for every value. Where a file lists only key frames of a track, boxes between them are interpolated.
"""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvit.types import MemvitError

TRUE, FALSE = {"true", "yes", "1"}, {"false", "no", "0", "", "none", "__undefined__"}


@dataclass(frozen=True, eq=False)
class TrackedBox:
    """A person in one frame of the annotation."""

    frame: int
    xyxy: NDArray[np.float64]
    """(4,) xyxy in pixels."""
    outside: bool
    """Whether the person has left the picture in this frame."""
    actions: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class CvatTask:
    """One annotated video."""

    path: Path
    name: str
    """Name of the video in CVAT, without its suffix."""
    width: int
    height: int
    tracks: tuple[tuple[TrackedBox, ...], ...]

    @property
    def actions(self) -> set[str]:
        """Names of all actions that occur."""
        return {action for track in self.tracks for box in track for action in box.actions}

    def rows(self, frames_per_second: float, seconds: Iterable[int], numbers: dict[str, int]) -> Iterator[str]:
        """AVA rows at each second: video, second, box, action (empty if the person does none), person."""
        for second, (person, track) in itertools.product(seconds, enumerate(self.tracks)):
            found = _at(track, second * frames_per_second)
            if found is None:
                continue
            sides = (found.xyxy / np.tile([self.width, self.height], 2)).clip(0, 1)
            place = f"{self.name},{second:04d},{','.join(f'{side:.3f}' for side in sides)}"
            for action in found.actions or ("",):
                yield f"{place},{numbers[action] if action else ''},{person}"


def read_cvat(path: str | Path) -> CvatTask:
    """Read a CVAT export. MemvitError if it is not one, or contains no tracks."""
    path = Path(path)
    try:
        root = ET.parse(path).getroot()
    except OSError as error:
        raise MemvitError(f"{path}: the file cannot be read ({error.strerror}); check the path") from error
    except ET.ParseError as error:
        raise MemvitError(f"{path}:{error.position[0]}: this is not valid XML ({error})") from error
    if root.tag != "annotations" or (root.findtext("version") or "").strip() != "1.1":
        raise MemvitError(f"{path}: this is not an export of CVAT; choose the format 'CVAT for video 1.1'")
    if len(root.findall("./meta/project/tasks/task")) > 1:
        raise MemvitError(f"{path}: this is the export of a whole project; export its tasks one by one")
    task = root.find("./meta/task")
    task = task if task is not None else root.find("./meta/project/tasks/task")
    tracks = tuple(_track(track, path) for track in root.findall("track"))
    if not tracks or task is None:
        raise MemvitError(f"{path}: there are no tracks in it; annotate people as tracks, export 'CVAT for video 1.1'")
    source = task.findtext("source") or task.findtext("name") or path.stem
    size = task.find("original_size")
    size = size if size is not None else root.find("./meta/original_size")
    try:
        assert size is not None
        width, height = int(size.findtext("width") or ""), int(size.findtext("height") or "")
    except (AssertionError, ValueError) as error:
        raise MemvitError(f"{path}: the size of the video (meta/task/original_size) is missing") from error
    return CvatTask(path, Path(source).stem, width, height, tracks)


def _track(track: ET.Element, path: Path) -> tuple[TrackedBox, ...]:
    boxes = []
    for box in track.findall("box"):
        try:
            sides = np.array([float(box.attrib[name]) for name in ("xtl", "ytl", "xbr", "ybr")])
            frame = int(box.attrib["frame"])
        except (KeyError, ValueError) as error:
            raise MemvitError(f"{path}: a box of track {track.get('id')} is malformed ({error})") from error
        boxes.append(TrackedBox(frame, sides, box.get("outside") == "1", tuple(_actions(box))))
    return tuple(sorted(boxes, key=lambda item: item.frame))


def _actions(box: ET.Element) -> Iterator[str]:
    for attribute in box.findall("attribute"):
        name, value = attribute.get("name", "").strip(), (attribute.text or "").strip()
        if value.lower() in TRUE:
            yield name
        elif value.lower() not in FALSE:
            yield value


def _at(track: tuple[TrackedBox, ...], frame: float) -> TrackedBox | None:
    """The interpolated box of a person at a frame, or None while the person is not in the picture."""
    before = next((box for box in reversed(track) if box.frame <= frame), None)
    after = next((box for box in track if box.frame > frame), None)
    if before is None or before.outside:
        return None
    if after is None:
        return before if frame - before.frame < 1 else None
    if after.outside:
        return before
    part = (frame - before.frame) / (after.frame - before.frame)
    return TrackedBox(round(frame), before.xyxy + part * (after.xyxy - before.xyxy), False, before.actions)
