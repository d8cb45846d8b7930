"""AVA, and data sets in its format: the keyframes of each video with boxes and labels, and where its pixels are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvit.datasets.ava_files import NO_ACTION, AvaTable, read_frame_list, read_table
from memvit.types import MemvitError, PersonBoxes
from memvit.video.sources.open import open_source
from memvit.video.sources.source import Source

SCORE_THRESHOLD = 0.9
"""The official score threshold for predicted boxes."""
VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov")


@dataclass(frozen=True, eq=False)
class Keyframe:
    """An annotated instant of a video: the people in it and what they do."""

    second: int
    boxes: PersonBoxes
    labels: NDArray[np.float32]
    """(N, classes), 1 for each action of a person; all 0 for a person who was only detected."""


@dataclass(frozen=True, eq=False)
class AvaVideo:
    """A video of a data set in AVA's format, with its keyframes in temporal order."""

    name: str
    keyframes: tuple[Keyframe, ...]


@dataclass(frozen=True)
class Footage:
    """Where the pixels of an AVA-format data set are: video files as they were downloaded, or extracted frames."""

    videos: Path | None = None
    """Folder with NAME.mp4, .mkv, …; annotated times count from the beginning of such a file."""
    frames: Path | None = None
    """Folder with a folder of numbered frames for each video."""
    frames_per_second: float = 30.0
    frames_start_seconds: float = 900.0
    """Time in its video of a folder's first frame, in seconds."""
    folders: Mapping[str, str] = field(default_factory=dict)
    """Video → its folder of frames within `frames`, as a frame list says; by default its name."""

    def open(self, video: str, from_seconds: float = 0.0) -> Source:
        """Open a video. SourceError or MemvitError if it does not exist or cannot be read."""
        if self.frames is not None:
            return open_source(
                self.frames / self.folders.get(video, video),
                from_seconds=from_seconds,
                frames_per_second=self.frames_per_second,
                start_seconds=self.frames_start_seconds,
            )
        return open_source(self.find(video), from_seconds=from_seconds)

    def find(self, video: str) -> Path:
        """The file of a video. MemvitError if there is none."""
        if self.videos is None:
            raise MemvitError("the recipe names no footage; pass data.videos=… or data.frames=…")
        for suffix in VIDEO_SUFFIXES:
            path = self.videos / f"{video}{suffix}"
            if path.exists():
                return path
        raise MemvitError(f"{self.videos}: there is no video {video} in this folder ({', '.join(VIDEO_SUFFIXES)})")


def folders_of(frame_list: str | Path) -> dict[str, str]:
    """Video → folder of its frames, read from an official frame list."""
    return {video: str(Path(paths[0]).parent) for video, paths in read_frame_list(frame_list).items()}


def read_annotations(
    groundtruth: Sequence[str | Path],
    predicted: Sequence[str | Path] = (),
    *,
    num_classes: int,
    score_threshold: float = SCORE_THRESHOLD,
) -> list[AvaVideo]:
    """All videos of a set of files, with the keyframes that have boxes.

    Boxes whose coordinates are written alike are one person, as in the reference, and their labels are merged. Of
    `predicted` files only boxes with a score of at least `score_threshold` count; their labels may be empty.
    MemvitError if a file is malformed or an action is beyond `num_classes`.
    """
    tables = [read_table(path) for path in groundtruth]
    for path in predicted:
        table = read_table(path)
        if np.isnan(table.last).any():
            raise MemvitError(f"{path}: a predicted box has no score; the eighth column is its score")
        tables.append(table.where(table.last >= score_threshold))
    if not tables:
        raise MemvitError("the recipe names no boxes; pass data.train_boxes=[…] and data.val_boxes=[…]")
    table = AvaTable.join(tables)
    if len(table) and table.actions.max() > num_classes:
        raise MemvitError(
            f"action {int(table.actions.max())} occurs in the annotations, but the model has {num_classes} classes"
        )
    are_given = np.concatenate(
        [np.full(len(part), place < len(groundtruth)) for place, part in enumerate(tables)] or [np.zeros(0, bool)]
    )
    return _grouped(table, are_given, num_classes)


def _grouped(table: AvaTable, are_given: NDArray[np.bool_], num_classes: int) -> list[AvaVideo]:
    videos: dict[str, dict[int, dict[tuple[float, ...], list[int]]]] = {}
    for row in range(len(table)):
        seconds = videos.setdefault(str(table.videos[row]), {})
        boxes = seconds.setdefault(int(table.seconds[row]), {})
        boxes.setdefault(tuple(table.boxes[row].tolist()), []).append(row)
    scores = np.where(are_given, 1.0, table.last)
    return [
        AvaVideo(
            name,
            tuple(
                _keyframe(second, videos[name][second], table, scores, are_given, num_classes)
                for second in sorted(videos[name])
            ),
        )
        for name in sorted(videos)
    ]


def _keyframe(
    second: int,
    boxes: dict[tuple[float, ...], list[int]],
    table: AvaTable,
    scores: NDArray[np.float64],
    are_given: NDArray[np.bool_],
    num_classes: int,
) -> Keyframe:
    labels = np.zeros((len(boxes), num_classes), dtype=np.float32)
    for place, rows in enumerate(boxes.values()):
        actions = table.actions[rows]
        labels[place, actions[actions != NO_ACTION] - 1] = 1
    sides = np.array(list(boxes), dtype=np.float32).reshape(-1, 4)
    best = np.array([scores[rows].max() for rows in boxes.values()], dtype=np.float32)
    persons = np.array([_person(table.last[rows[0]], are_given[rows[0]]) for rows in boxes.values()], dtype=np.int64)
    return Keyframe(second, PersonBoxes(sides, best, persons if (persons >= 0).any() else None), labels)


def _person(last: float, is_given: bool) -> int:
    """The number of a person, which is the last column of ground truth; −1 where there is none."""
    return int(last) if is_given and np.isfinite(last) else -1
