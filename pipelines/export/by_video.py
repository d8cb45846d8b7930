"""Writes an archive as a data set of Parquet files, one for each video: FOLDER/video=ID/part-0.parquet.

Programs read the folder as one table in which the id is the column `video` (partitions as in Hive). A file is written
under another name and then renamed, so a killed run leaves whole files only; the next one writes what is missing,
changed or gone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from memvit.store import Archive, VideoState
from memvit.types import MemvitError

from .tables import BLOCK_ROWS, checked
from .writers import import_pyarrow

MARKER = "_memvit.json"
"""Says what a folder holds. Readers of data sets pass over files whose name begins so."""
FILE = "part-0.parquet"
Columns = dict[str, Any]
"""Name of a column → (N,) or (N, C) numbers, or a text that all rows have."""


@dataclass
class Written:
    """What a run has done, in videos and rows."""

    written: int = 0
    rows: int = 0
    """Of the videos that were written."""
    kept: int = 0
    """Videos that were there already."""
    removed: int = 0
    """Videos that are not in the archive any more."""


def export_by_video(archive_path: str, out: Path, table: str, *, features: bool) -> Written:
    """Bring a data set up to date with the finished videos of an archive.

    Raises MemvitError if the folder holds anything else, if pyarrow is missing, or if an array is damaged.
    """
    if table not in TABLES:
        raise MemvitError(f"--table {table}: with --by-video, use {' or '.join(TABLES)}")
    archive = Archive.open(archive_path)
    if table == "people" and not archive.provenance.boxes:
        raise MemvitError(f"{archive.location}: its model classifies whole clips, not people; use --table clips")
    import_pyarrow()
    done = Written()
    with _held(out):
        _check_marker(archive, out, table, features)
        present = set()
        for state in archive.videos():
            if state.state != "done":
                continue
            folder = out / folder_of(state.id)
            present.add(folder.name)
            digest = _digest(state, table, features)
            if _digest_in(folder / FILE) == digest:
                done.kept += 1
                continue
            blocks = checked(TABLES[table](archive, state, features), archive, state)
            done.rows += _write(folder, blocks, _metadata(archive, digest))
            done.written += 1
        for folder in sorted(out.glob("video=*")):
            if folder.name not in present:
                (folder / FILE).unlink(missing_ok=True)
                _sweep(folder)
                folder.rmdir()
                done.removed += 1
    return done


def folder_of(video_id: str) -> str:
    """Return the name of a video's folder. Letters of other alphabets stay, other signs are escaped as in URLs."""
    return "video=" + re.sub(r"[^\w.-]", lambda sign: quote(sign[0], safe=""), video_id)


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """Make the folder, and let only one process at a time write to it."""
    out.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise MemvitError(f"{out}: another export writes into this folder; wait for it, or name another") from error
    finally:
        os.close(descriptor)


def _check_marker(archive: Archive, out: Path, table: str, features: bool) -> None:
    """Write what the folder is for, if it is empty. Raises MemvitError if it is for something else."""
    made_with = archive.provenance
    content = {"format": 1, "table": table, "features": features, "archive": made_with.digest}
    marker = out / MARKER
    if not marker.exists():
        if any(path.name != f".{MARKER}.tmp" for path in out.iterdir()):
            raise MemvitError(f"{out}: this folder holds other files; name an empty or a new one with --out")
        temporary = out / f".{MARKER}.tmp"
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(marker)
        return
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if found != content:
        raise MemvitError(
            f"{out}: this folder holds another table, or that of another model; name an empty or a new one with --out"
        )


def _clips(archive: Archive, state: VideoState, features: bool) -> Iterator[Columns]:
    """Yield blocks of the columns of clips."""
    names, array = set(state.digests or {}), _reader(archive, state)
    people = no_session = np.zeros(state.clips, dtype=np.int32)
    if "detection_clip" in names:
        people = np.bincount(array("detection_clip", 0, state.people), minlength=state.clips).astype(np.int32)
    for start in _starts(state.clips):
        stop = min(start + BLOCK_ROWS, state.clips)
        span = array("span_seconds", start, stop)
        columns: Columns = {
            "location": state.location,
            "clip": np.arange(start, stop),
            "seconds": array("seconds", start, stop),
            "first_seconds": span[:, 0],
            "last_seconds": span[:, 1],
            "session": array("session", start, stop).astype(np.int32) if "session" in names else no_session[start:stop],
            "people": people[start:stop],
        }
        if not archive.provenance.boxes:
            columns["scores"] = array("action_scores", start, stop).astype(np.float32)
        if features:
            columns["features"] = array("features", start, stop).astype(np.float32)
        yield columns


def _people(archive: Archive, state: VideoState, features: bool) -> Iterator[Columns]:
    """Yield blocks of the columns of people."""
    names, array = set(state.digests or {}), _reader(archive, state)
    seconds = array("seconds", 0, state.clips)
    for start in _starts(state.people):
        stop = min(start + BLOCK_ROWS, state.people)
        clips = array("detection_clip", start, stop).astype(np.int64)
        boxes = array("boxes", start, stop).astype(np.float32)
        no_person = np.full(stop - start, -1, dtype=np.int64)
        columns: Columns = {
            "location": state.location,
            "clip": clips,
            "seconds": seconds[clips],
            "detection": np.arange(start, stop),
            "person": array("person", start, stop).astype(np.int64) if "person" in names else no_person,
            **{name: boxes[:, side] for side, name in enumerate(("x1", "y1", "x2", "y2"))},
            "box_score": array("box_scores", start, stop).astype(np.float32),
            "scores": array("action_scores", start, stop).astype(np.float32),
        }
        if features:
            columns["features"] = array("box_features", start, stop).astype(np.float32)
        yield columns


TABLES: dict[str, Callable[[Archive, VideoState, bool], Iterator[Columns]]] = {"clips": _clips, "people": _people}


def _reader(archive: Archive, state: VideoState) -> Callable[[str, int, int], NDArray[Any]]:
    return lambda name, start, stop: np.asarray(archive.array(state.id, name)[start:stop])


def _starts(rows: int) -> range:
    """Return the first rows of the blocks; one block of no rows where there are none, for its columns."""
    return range(0, max(rows, 1), BLOCK_ROWS)


def _write(folder: Path, blocks: Iterator[Columns], metadata: dict[bytes, bytes]) -> int:
    """Write the file of a video, a row group a block, and return the number of its rows."""
    from pyarrow.parquet import ParquetWriter

    folder.mkdir(exist_ok=True)
    _sweep(folder)
    temporary, writer, rows = folder / f".{FILE}.tmp", None, 0
    try:
        for columns in blocks:
            table = _table(columns).replace_schema_metadata(metadata)
            writer = writer or ParquetWriter(temporary, table.schema, compression="zstd")
            writer.write_table(table)
            rows += table.num_rows
    finally:
        if writer is not None:
            writer.close()
    temporary.replace(folder / FILE)
    return rows


def _table(columns: Columns) -> Any:
    import pyarrow

    rows = next(len(values) for values in columns.values() if not isinstance(values, str))
    arrays = {}
    for name, values in columns.items():
        if isinstance(values, str):
            text = pyarrow.array([values], type=pyarrow.string())
            arrays[name] = pyarrow.DictionaryArray.from_arrays(np.zeros(rows, dtype=np.int32), text)
        elif values.ndim == 2:
            flat = pyarrow.array(np.ascontiguousarray(values).reshape(-1))
            arrays[name] = pyarrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
        else:
            arrays[name] = pyarrow.array(values, mask=values < 0 if name == "person" else None)
    return pyarrow.table(arrays)


def _sweep(folder: Path) -> None:
    """Remove what a killed run has left."""
    (folder / f".{FILE}.tmp").unlink(missing_ok=True)


def _metadata(archive: Archive, digest: str) -> dict[bytes, bytes]:
    made_with = archive.provenance
    content = {
        "digest": digest,
        "model": made_with.model,
        "weights_sha256": made_with.weights_sha256,
        "actions": list(made_with.classes),
        "first_id": made_with.first_id,
    }
    return {b"memvit": json.dumps(content).encode()}


def _digest(state: VideoState, table: str, features: bool) -> str:
    """Return a digest of all on which the file of a video depends."""
    text = json.dumps([table, features, state.location, sorted((state.digests or {}).items())])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _digest_in(path: Path) -> str | None:
    """Return the digest that a file was written with; None if there is no such file, or if it is damaged."""
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import read_schema

    try:
        found = json.loads((read_schema(path).metadata or {})[b"memvit"])["digest"]
    except (OSError, ArrowInvalid, KeyError, TypeError, ValueError):
        return None
    return found if isinstance(found, str) else None
