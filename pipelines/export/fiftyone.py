"""Writes an archive as a data set of FiftyOne: people as boxes in frames, actions as intervals of frames.

The folder is in FiftyOne's own format (`fiftyone.types.FiftyOneDataset`): `metadata.json` describes the fields,
`samples.json` has a document for each video, `frames.json` one for each frame with people. FiftyOne is not needed.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from memvit.store import Archive, Query, VideoState
from memvit.store.find import intervals_of
from memvit.types import MemvitError, SourceError
from memvit.video.sources.location import is_url

from .fiftyone_fields import description
from .json_array import JsonArray
from .tables import BLOCK_ROWS, checked

FILES = ("metadata.json", "samples.json", "frames.json")


@dataclass(frozen=True)
class Film:
    """What FiftyOne has to know of the file of a video."""

    path: Path
    width: int
    height: int
    frames_per_second: float
    frames: int
    seconds: float

    def frame_number(self, seconds: float) -> int:
        """Return the number, from 1, of the frame that is shown at a time, at the average rate of the file."""
        return min(max(1 + round(seconds * self.frames_per_second), 1), self.frames)


@dataclass
class Exported:
    """What was written."""

    videos: int = 0
    frames: int = 0
    """Frames with people."""
    intervals: int = 0
    left_out: list[str] = field(default_factory=list)
    """For each video that is missing in the data set, why: its file cannot be opened."""


def export_fiftyone(archive_path: str, out: Path, min_score: float, media: Path | None = None) -> Exported:
    """Write the finished videos; a data set of FiftyOne that is there is replaced as a whole.

    Below the folder `media`, paths of videos are relative to it. Raises MemvitError if the folder holds anything else,
    or if an array is damaged.
    """
    if out.is_dir() and not {path.name for path in out.iterdir()} <= set(FILES):
        raise MemvitError(f"{out}: this folder holds other files; name a new one with --out")
    archive = Archive.open(archive_path)
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        exported = _write(archive, temporary, out.name, min_score, media)
        _replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return exported


def _replace(new: Path, out: Path) -> None:
    if not out.exists():
        new.replace(out)
        return
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    out.replace(old)
    new.replace(out)
    shutil.rmtree(old)


def _write(archive: Archive, folder: Path, name: str, min_score: float, media: Path | None) -> Exported:
    created_at = {"$date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")}
    exported = Exported()
    with ExitStack() as stack:
        samples = stack.enter_context(JsonArray(folder / "samples.json", "samples"))
        frames = stack.enter_context(JsonArray(folder / "frames.json", "frames"))
        for state in archive.videos():
            if state.state != "done":
                continue
            try:
                film = open_film(state)
            except MemvitError as error:
                exported.left_out.append(str(error))
                continue
            for block in checked(_frames(archive, state, film, min_score), archive, state):
                for frame in block:
                    frames.add(frame | {"created_at": created_at, "last_modified_at": created_at})
                exported.frames += len(block)
            for actions in checked(_actions(archive, state, film, min_score), archive, state):
                sample = _sample(state, film, actions, media)
                samples.add(sample | {"created_at": created_at, "last_modified_at": created_at})
                exported.intervals += len(actions)
            exported.videos += 1
    made_with = archive.provenance
    info = {
        "model": made_with.model,
        "weights_sha256": made_with.weights_sha256,
        "boxes": made_with.boxes,
        "archive": archive.location,
        "min_score": min_score,
    }
    text = json.dumps(description(name, info, created_at), ensure_ascii=False)
    (folder / "metadata.json").write_text(text, encoding="utf-8")
    return exported


def open_film(state: VideoState) -> Film:
    """Read the header of a video's file. Raises MemvitError if it is no file, or cannot be opened."""
    from memvit.video.sources.open import open_source

    path = Path(state.location).absolute()
    if is_url(state.location) or not path.is_file():
        raise MemvitError(f"{state.id}: {state.location} is no file here; `memvit relocate` notes where it is now")
    try:
        with open_source(path) as source:
            info = source.info
    except SourceError as error:
        raise MemvitError(f"{state.id}: {error}") from error
    rate, seconds = info.frames_per_second, info.duration_seconds or state.duration_seconds
    if not rate or not seconds:
        raise MemvitError(f"{state.id}: the file does not say its frame rate and duration")
    frames = info.total_frames or max(1, round(seconds * rate))
    return Film(path, info.width, info.height, rate, frames, seconds)


def _sample(state: VideoState, film: Film, actions: list[dict[str, Any]], media: Path | None) -> dict[str, Any]:
    path = film.path
    if media is not None:
        with suppress(ValueError):  # It stays absolute where it is not below this folder.
            path = path.relative_to(media.absolute())
    metadata = {
        "_cls": "VideoMetadata",
        "size_bytes": film.path.stat().st_size,
        "mime_type": mimetypes.guess_type(film.path.name)[0],
        "frame_width": film.width,
        "frame_height": film.height,
        "frame_rate": film.frames_per_second,
        "total_frame_count": film.frames,
        "duration": film.seconds,
    }
    return {
        "_id": _identity(state.id),
        "filepath": str(path),
        "tags": [],
        "metadata": metadata,
        "_media_type": "video",
        "_rand": int(_identity(state.id)["$oid"][:8], 16) / 2**32,
        "memvit_id": state.id,
        "actions": {"_cls": "TemporalDetections", "detections": actions},
    }


def _actions(archive: Archive, state: VideoState, film: Film, min_score: float) -> Iterator[list[dict[str, Any]]]:
    """Yield the intervals of all actions of a video, as `memvit find` finds them."""
    found: list[dict[str, Any]] = []
    query = Query((), min_score)
    for column in _columns_with(archive.array(state.id, "action_scores"), min_score):
        for interval in intervals_of(archive, state, [column], query):
            label = {
                "_id": _identity(state.id, "action", len(found)),
                "_cls": "TemporalDetection",
                "tags": [],
                "label": archive.provenance.classes[column],
                "support": [film.frame_number(interval.start_seconds), film.frame_number(interval.end_seconds)],
                "confidence": round(interval.peak_score, 4),
                "mean_score": round(interval.mean_score, 4),
            }
            found.append(label | ({} if interval.person is None else {"person": interval.person}))
    yield found


def _columns_with(scores: zarr.Array[Any], min_score: float) -> list[int]:
    """Return the columns in which a score is high enough."""
    is_there = np.zeros(scores.shape[1], dtype=bool)
    for start in range(0, scores.shape[0], BLOCK_ROWS):
        is_there |= (np.asarray(scores[start : start + BLOCK_ROWS]) >= min_score).any(axis=0)
    return [int(column) for column in np.flatnonzero(is_there)]


def _frames(archive: Archive, state: VideoState, film: Film, min_score: float) -> Iterator[list[dict[str, Any]]]:
    """Yield the frames with people, a block of rows at a time; a frame's people are all in one block."""
    if "boxes" not in (state.digests or {}):
        return
    array = archive.array
    seconds = np.asarray(array(state.id, "seconds")[:])
    clips = np.asarray(array(state.id, "detection_clip")[:])
    numbers = np.array([film.frame_number(second) for second in seconds.tolist()], dtype=np.int64)[clips]
    start = 0
    while start < len(numbers):
        last = numbers[min(start + BLOCK_ROWS, len(numbers)) - 1]
        stop = int(np.searchsorted(numbers, last, side="right"))
        people = _people(archive, state, start, stop, min_score)
        frames: dict[int, list[dict[str, Any]]] = {}
        for number, person in zip(numbers[start:stop].tolist(), people, strict=True):
            if person is not None:
                frames.setdefault(number, []).append(person)
        yield [
            {
                "_id": _identity(state.id, "frame", number),
                "_sample_id": _identity(state.id),
                "frame_number": number,
                "people": {"_cls": "Detections", "detections": found},
            }
            for number, found in frames.items()
        ]
        start = stop


def _people(
    archive: Archive, state: VideoState, start: int, stop: int, min_score: float
) -> Iterator[dict[str, Any] | None]:
    """Yield the label of each box; None for a box that is not finite."""
    names, array = archive.provenance.classes, archive.array
    boxes = np.asarray(array(state.id, "boxes")[start:stop]).astype(np.float64)
    box_scores = np.asarray(array(state.id, "box_scores")[start:stop]).tolist()
    scores = np.asarray(array(state.id, "action_scores")[start:stop]).astype(np.float64)
    persons = [-1] * (stop - start)
    if "person" in (state.digests or {}):
        persons = np.asarray(array(state.id, "person")[start:stop]).tolist()
    for row, (box, box_score, person) in enumerate(zip(boxes, box_scores, persons, strict=True)):
        if not (np.isfinite(box).all() and np.isfinite(scores[row]).all()):
            yield None
            continue
        order = np.argsort(-scores[row], kind="stable")
        shown = [column for column in order.tolist() if scores[row, column] >= min_score]
        x1, y1, x2, y2 = (round(side, 5) for side in box.tolist())
        label = {
            "_id": _identity(state.id, "box", start + row),
            "_cls": "Detection",
            "attributes": {},
            "tags": [],
            "label": names[order[0]],
            "confidence": round(float(scores[row, order[0]]), 4),
            "bounding_box": [x1, y1, round(x2 - x1, 5), round(y2 - y1, 5)],
            "actions": [names[column] for column in shown],
            "scores": [round(float(scores[row, column]), 4) for column in shown],
        }
        label |= {"box_score": round(box_score, 4)} if np.isfinite(box_score) else {}
        yield label | ({"index": person} if person >= 0 else {})


def _identity(*parts: object) -> dict[str, str]:
    """Return an id that is the same whenever the archive is exported."""
    return {"$oid": hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:24]}
