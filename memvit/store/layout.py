"""The final arrays of a video, with named dimensions; every shard is written once and as a whole.

seconds        (seconds)              centre of each clip: the coordinate of the dimension
span_seconds   (seconds, edge)        first and last frame time of each clip
frames_crc32   (seconds)              CRC-32 of the frames that the model saw
session        (seconds)              0, 1, …: counts on where the size of the picture changes
features       (seconds, channel)     what the classifier reads, or the mean token
boxes          (detection, side)      x1, y1, x2, y2 in 0..1; one row for each person and clip
box_scores     (detection)
detection_clip (detection)            index of the clip in `seconds`
person         (detection)            number of the person in this video; -1 for a box that is no person
appearance     (detection, look)      what the pixels of the box look like; absent where numbers came with the boxes
action_scores  (detection, action)    probabilities; (seconds, action) where whole clips are classified
box_features   (detection, channel)   what a person's scores were read from
action         (action)               names of the classes: the coordinate of the dimension
track          (track)                number of each person: the coordinate of the dimension
track_first_seconds, track_last_seconds, track_clips (track), track_mean_box (track, side): one row a person

Where people were looked for more often than once a clip:

frame_seconds      (frame)            time of each frame in which people were looked for
sighting_frame     (sighting)         index of the frame in `frame_seconds`; one row for each box in these frames
sighting_boxes, sighting_scores, sighting_person, sighting_appearance (sighting …): as those of detections
sighting_detection (sighting)         index of the detection that this box is; -1 for none
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from memvit.store.documents import DOCUMENT, document_digest, document_key
from memvit.store.rows import Rows
from memvit.store.sightings import Column

if TYPE_CHECKING:
    from memvit.store.persons import Numbering

CHUNK_BYTES = 1 << 20
"""Size of a chunk before compression; smaller ones would make too many reads."""
CHUNKS_PER_SHARD = 16
"""A shard is one object of the store, and is built in memory."""
MAX_CHUNK_ROWS = 1 << 16
"""Largest number of rows of a chunk, for arrays with very short rows."""
ACTIONS_PER_CHUNK = 8
"""Chunks of the scores of long videos hold so many actions, so that the scores of one action are found quickly."""
LEVEL = 3
"""Compression level of zstd."""
MAX_SHARD_BYTES = 1 << 28
"""A document that declares a larger shard is damaged, because this program writes shards of 16 MiB or of one row."""
TRACK_DIMENSIONS = {
    "track": ("track",),
    "track_first_seconds": ("track",),
    "track_last_seconds": ("track",),
    "track_clips": ("track",),
    "track_mean_box": ("track", "side"),
}
"""The arrays of the table of tracks, and their dimensions."""
DIMENSIONS = {
    "seconds": ("seconds",),
    "span_seconds": ("seconds", "edge"),
    "frames_crc32": ("seconds",),
    "session": ("seconds",),
    "features": ("seconds", "channel"),
    "boxes": ("detection", "side"),
    "box_scores": ("detection",),
    "detection_clip": ("detection",),
    "person": ("detection",),
    "appearance": ("detection", "look"),
    "action_scores": ("detection", "action"),
    "box_features": ("detection", "channel"),
    "frame_seconds": ("frame",),
    "sighting_frame": ("sighting",),
    "sighting_boxes": ("sighting", "side"),
    "sighting_scores": ("sighting",),
    "sighting_person": ("sighting",),
    "sighting_appearance": ("sighting", "look"),
    "sighting_detection": ("sighting",),
    **TRACK_DIMENSIONS,
}

NUMBERED = ("person", "appearance", *(name for name in DIMENSIONS if name.startswith(("frame_", "sighting_"))))
"""Arrays that only an archive with numbers has."""


@dataclass
class _Writer:
    """Fills one array shard by shard."""

    array: zarr.Array[Any]
    shard_rows: int
    waiting: list[Column]
    place: int = 0

    def add(self, column: Column, digest: Any) -> None:
        if len(column) == 0:
            return
        column = np.ascontiguousarray(column, dtype=self.array.dtype)
        digest.update(column.tobytes())
        self.waiting.append(column)
        while sum(map(len, self.waiting)) >= self.shard_rows:
            self._flush(self.shard_rows)

    def close(self) -> None:
        if self.waiting:
            self._flush(sum(map(len, self.waiting)))

    def _flush(self, rows: int) -> None:
        joined = np.concatenate(self.waiting)
        self.array[self.place : self.place + rows] = joined[:rows]
        self.place += rows
        self.waiting = [joined[rows:]] if len(joined) > rows else []


def write_video(
    group: zarr.Group,
    parts: Iterable[Rows],
    clips: int,
    people: int,
    classes: Sequence[str],
    *,
    numbering: Numbering | None = None,
    frames: int = 0,
    sightings: int = 0,
) -> dict[str, str]:
    """Write the arrays of a video into an empty group; return a digest of each array's content and of its document.

    `clips`, `people`, `frames` and `sightings` are the rows that all parts have together. Only a few shards are in
    memory at a time. Without a `numbering` people get no numbers, as in the first version of the layout.
    """
    writers: dict[str, _Writer] = {}
    digests: dict[str, Any] = {}

    def add(name: str, column: Column, rows: int, dimensions: tuple[str, ...]) -> None:
        if name not in writers:
            writers[name] = _create(group, name, column, rows, dimensions)
            digests[name] = hashlib.blake2b(digest_size=16)
        writers[name].add(column, digests[name])

    rows = {"seconds": clips, "detection": people, "frame": frames, "sighting": sightings}
    before = _Before()
    for part in parts:
        columns = _columns(part, before)
        if numbering is None:
            columns = {name: column for name, column in columns.items() if name not in NUMBERED}
        elif part.people:
            columns |= numbering.number(part)
        for name, column in columns.items():
            dimensions = _dimensions(name, columns)
            add(name, column, rows[dimensions[0]], dimensions)
        before.add(part)
    for name, column in numbering.tracks().items() if numbering is not None and "person" in writers else ():
        add(name, column, len(column), TRACK_DIMENSIONS[name])
    for writer in writers.values():
        writer.close()
    names = group.create_array("action", shape=(len(classes),), dtype=str, dimension_names=("action",))
    names[:] = np.array(classes, dtype=np.dtypes.StringDType())
    contents = {name: digest.hexdigest() for name, digest in digests.items()}
    return contents | {
        document_key(name): document_digest(group.store, f"{group.path}/{name}") for name in [*contents, "action"]
    }


def damaged_arrays(
    group: zarr.Group,
    digests: dict[str, str],
    clips: int,
    people: int,
    classes: Sequence[str],
    *,
    frames: int = 0,
    sightings: int = 0,
) -> list[str]:
    """Return the names of the arrays, and of the documents that describe them, that differ from what was written."""
    damaged = []
    names = [name for name in digests if not name.endswith(DOCUMENT)]
    for name in [*names, "action"]:
        document = document_key(name)
        if document in digests and document_digest(group.store, f"{group.path}/{name}") != digests[document]:
            damaged.append(document)
        elif name == "action":
            damaged += [] if _is_action_axis(group, classes) else [name]
        elif not _is_intact(group, name, digests[name], (clips, people, frames, sightings)):
            damaged.append(name)
    return damaged


def _is_intact(group: zarr.Group, name: str, digest: str, rows: tuple[int, int, int, int]) -> bool:
    found = hashlib.blake2b(digest_size=16)
    try:
        array = group[name]
        if not isinstance(array, zarr.Array):
            return False
        # Each person has a box, so there are not more rows of tracks than rows of people.
        if array.shape[0] > rows[1] if name in TRACK_DIMENSIONS else array.shape[0] not in rows:
            return False
        step = (array.shards or array.chunks)[0]
        if min(step, array.shape[0]) * _row_bytes(array) > MAX_SHARD_BYTES:
            return False
        for start in range(0, array.shape[0], step):
            found.update(np.ascontiguousarray(array[start : start + step]).tobytes())
    except Exception:  # A damaged document or chunk leads to exceptions of many types.
        return False
    return found.hexdigest() == digest


def _is_action_axis(group: zarr.Group, classes: Sequence[str]) -> bool:
    try:
        array = group["action"]
        if not isinstance(array, zarr.Array) or array.shape != (len(classes),):
            return False
        return [str(name) for name in np.asarray(array[:])] == list(classes)
    except Exception:  # A damaged document or chunk leads to exceptions of many types.
        return False


def _row_bytes(array: zarr.Array[Any]) -> int:
    return math.prod(array.shape[1:]) * array.dtype.itemsize


@dataclass
class _Before:
    """What the parts before a part hold."""

    clips: int = 0
    people: int = 0
    frames: int = 0
    session: int = 0

    def add(self, part: Rows) -> None:
        """Count another part."""
        self.clips, self.people = self.clips + len(part), self.people + part.num_people
        self.frames += part.num_frames
        self.session += int(np.sum(part.clips.get("begins_session", 0)))


def _columns(part: Rows, before: _Before) -> dict[str, Column]:
    """Return the columns of a part under the names of the arrays."""
    unwritten = ("number", "people", "frames", "begins_session")
    columns = {name: column for name, column in part.clips.items() if name not in unwritten}
    columns["frames_crc32"] = columns["frames_crc32"].astype(np.uint32)
    begins = part.clips.get("begins_session", np.zeros(len(part), dtype=bool))
    columns["session"] = before.session + np.cumsum(begins, dtype=np.int64)
    if part.people:
        clip_indices = np.arange(before.clips, before.clips + len(part), dtype=np.int64)
        columns |= part.people
        columns["detection_clip"] = np.repeat(clip_indices, part.clips["people"].astype(np.int64))
    if part.frames:
        is_detection = part.sightings["is_detection"].astype(bool)
        indices = before.people + np.cumsum(is_detection, dtype=np.int64) - 1
        frame_indices = np.arange(before.frames, before.frames + part.num_frames, dtype=np.int64)
        columns |= {
            "frame_seconds": part.frames["seconds"],
            "sighting_frame": np.repeat(frame_indices, part.frames["sightings"].astype(np.int64)),
            "sighting_detection": np.where(is_detection, indices, -1),
            **{f"sighting_{name}": part.sightings[name] for name in ("boxes", "scores", "appearance")},
        }
    return columns


def _dimensions(name: str, columns: dict[str, Column]) -> tuple[str, ...]:
    """Return the names of an array's dimensions; a model that classifies whole clips has its scores by clip."""
    return ("seconds", "action") if name == "action_scores" and "boxes" not in columns else DIMENSIONS[name]


def _create(group: zarr.Group, name: str, column: Column, rows: int, dimensions: tuple[str, ...]) -> _Writer:
    chunks, shards = _chunks(name, column, rows)
    array = group.create_array(
        name,
        shape=(rows, *column.shape[1:]),
        chunks=chunks,
        shards=shards,
        dtype=column.dtype,
        compressors=ZstdCodec(level=LEVEL),
        dimension_names=dimensions,
        # A value that no column has, so that a missing chunk does not read like one of zeros.
        fill_value=np.iinfo(np.dtype(f"i{column.dtype.itemsize}")).min if column.dtype.kind == "i" else 0,
        config={"write_empty_chunks": True},
    )
    return _Writer(array, (shards or chunks)[0], [])


def _chunks(name: str, column: Column, rows: int) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Return the shapes of the chunks and of the shards of an array; None without shards."""
    tail = column.shape[1:]
    row_bytes = max(1, math.prod(tail) * column.dtype.itemsize)
    chunk_rows = max(1, min(CHUNK_BYTES // row_bytes, MAX_CHUNK_ROWS, max(rows, 1)))
    if rows <= chunk_rows:
        return (chunk_rows, *tail), None
    shard_rows = chunk_rows * CHUNKS_PER_SHARD
    if name != "action_scores" or tail[0] <= ACTIONS_PER_CHUNK:
        return (chunk_rows, *tail), (shard_rows, *tail)
    columns = math.ceil(tail[0] / ACTIONS_PER_CHUNK) * ACTIONS_PER_CHUNK
    return (shard_rows // 8, ACTIONS_PER_CHUNK), (shard_rows, columns)
