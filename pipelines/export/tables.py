"""Writes an archive as a table in Parquet, CSV or JSON Lines, video by video, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import zarr

from memvit.store import Archive, VideoState
from memvit.types import MemvitError

from .writers import WRITERS, Row

BLOCK_ROWS = 4096
"""So many rows of an array are read at a time."""
Block = TypeVar("Block")


def export(archive_path: str, out: Path, file_format: str, table: str, min_score: float) -> tuple[int, int]:
    """Write a table of the finished videos, and return the number of its rows and of these videos.

    Raises MemvitError if the format or the table is unknown, or if an array is damaged.
    """
    if table not in TABLES:
        raise MemvitError(f"--table {table}: use {', '.join(TABLES)}")
    if file_format not in WRITERS:
        raise MemvitError(f"--to {file_format}: use {', '.join(WRITERS)}, or fiftyone")
    archive = Archive.open(archive_path)
    done = [state for state in archive.videos() if state.state == "done"]
    rows_of = TABLES[table]
    temporary = out.with_name(f".{out.name}.tmp")
    count = 0
    try:
        with WRITERS[file_format](temporary) as writer:
            for state in done:
                for block in checked(rows_of(archive, state, min_score), archive, state):
                    writer.write(block)
                    count += len(block)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return count, len(done)


def checked(blocks: Iterator[Block], archive: Archive, state: VideoState) -> Iterator[Block]:
    """Yield the blocks. Raises a MemvitError that names the video if its arrays cannot be read."""
    try:
        yield from blocks
    except MemvitError:
        raise
    except Exception as error:  # A damaged document or chunk leads to exceptions of many types.
        raise MemvitError(
            f"{archive.location}: the arrays of {state.id} are damaged; `memvit extract … --verify` repairs them"
        ) from error


def _action_rows(archive: Archive, state: VideoState, min_score: float) -> Iterator[list[Row]]:
    """Yield one row for each person (or clip) and action with a score of at least `min_score`."""
    group, names = archive.group(state.id), archive.provenance.classes
    first_id = archive.provenance.first_id
    seconds = _read_all(group, "seconds")
    scores = _array(group, "action_scores")
    for start in range(0, scores.shape[0], BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, scores.shape[0])
        block = np.asarray(scores[start:stop])
        whole_clips = [{"seconds": float(second)} for second in seconds[start:stop]]
        of_rows = _people(group, seconds, start, stop) if "boxes" in group else whole_clips
        yield [
            {
                "video": state.location,
                "id": state.id,
                **of_rows[row],
                "action_id": int(action) + first_id,
                "action": names[action],
                "score": float(block[row, action]),
            }
            for row, action in zip(*np.nonzero(block >= min_score), strict=True)
        ]


def _people_rows(archive: Archive, state: VideoState, min_score: float) -> Iterator[list[Row]]:
    """Yield one row for each person and clip, with features; `min_score` has no meaning here."""
    group = archive.group(state.id)
    if "boxes" not in group:
        return
    seconds, features = _read_all(group, "seconds"), _array(group, "box_features")
    for start in range(0, features.shape[0], BLOCK_ROWS):
        block = np.asarray(features[start : start + BLOCK_ROWS])
        people = _people(group, seconds, start, start + len(block))
        yield [
            {"video": state.location, "id": state.id, **person, "features": row.tolist()}
            for person, row in zip(people, block, strict=True)
        ]


def _people(group: zarr.Group, seconds: np.ndarray[Any, Any], start: int, stop: int) -> list[Row]:
    """Return when, who and where the people of some rows are; who only where people have numbers."""
    clips = np.asarray(_array(group, "detection_clip")[start:stop])
    boxes = np.asarray(_array(group, "boxes")[start:stop]).astype(float).tolist()
    scores = np.asarray(_array(group, "box_scores")[start:stop]).astype(float).tolist()
    rows: list[Row] = [
        {"seconds": second, "detection": start + row} for row, second in enumerate(seconds[clips].tolist())
    ]
    if "person" in group:
        for found, number in zip(rows, np.asarray(_array(group, "person")[start:stop]).tolist(), strict=True):
            found["person"] = number if number >= 0 else None
    for found, box, score in zip(rows, boxes, scores, strict=True):
        found |= dict(zip(("x1", "y1", "x2", "y2"), box, strict=True)) | {"box_score": score}
    return rows


def _feature_rows(archive: Archive, state: VideoState, min_score: float) -> Iterator[list[Row]]:
    """Yield one row for each clip; `min_score` has no meaning here."""
    group = archive.group(state.id)
    features, seconds = _array(group, "features"), _read_all(group, "seconds")
    for start in range(0, features.shape[0], BLOCK_ROWS):
        block = np.asarray(features[start : start + BLOCK_ROWS])
        yield [
            {
                "video": state.location,
                "id": state.id,
                "seconds": float(seconds[start + row]),
                "features": values.tolist(),
            }
            for row, values in enumerate(block)
        ]


def _track_rows(archive: Archive, state: VideoState, min_score: float) -> Iterator[list[Row]]:
    """Yield one row for each person; `min_score` has no meaning here."""
    group = archive.group(state.id)
    if "track" not in group:
        return
    names = ("track", "track_first_seconds", "track_last_seconds", "track_clips", "track_mean_box")
    columns = [_read_all(group, name) for name in names]
    yield [
        {
            "video": state.location,
            "id": state.id,
            "person": int(person),
            "first_seconds": float(first),
            "last_seconds": float(last),
            "clips": int(clips),
            **dict(zip(("x1", "y1", "x2", "y2"), map(float, box), strict=True)),
        }
        for person, first, last, clips, box in zip(*columns, strict=True)
    ]


TABLES = {"actions": _action_rows, "features": _feature_rows, "people": _people_rows, "tracks": _track_rows}


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    found = group[name]
    assert isinstance(found, zarr.Array)
    return found


def _read_all(group: zarr.Group, name: str) -> np.ndarray[Any, Any]:
    return np.asarray(_array(group, name)[:])
