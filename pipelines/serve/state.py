"""Saved streams: one file for each, with its request, its place in time and its memory, for the next start.

A file is a checksum, a line of JSON, and the bytes of a `StreamSnapshot`. It is written under another name and renamed,
so that a crash leaves the earlier file. Sources may hold passwords: files are readable by their owner only.
"""

from __future__ import annotations

import json
import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memvit.engine.snapshot import StreamSnapshot
from memvit.types import MemvitError

from .resume import ResumeState

SUFFIX = ".stream"
FORMAT = 2
_FORMAT_1_FIELDS = {"heard_unix": "last_frame_unix"}
"""Format 1 called the resume state `standing`, and named one of its fields differently."""
RESUME_FIELDS = ("session", "last_centre_seconds", "ahead_seconds", "last_frame_unix", "size", "run", "events")


@dataclass(frozen=True)
class SavedStream:
    """A stream between two clips, and the request for it."""

    stream_id: str
    model: str
    """Name and hash of the model whose memory it is."""
    request: dict[str, Any]
    resume_state: ResumeState


class StateFolder:
    """The files of all streams."""

    def __init__(self, folder: Path) -> None:
        """MemvitError if the folder cannot be made."""
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise MemvitError(
                f"{folder}: the streams' state cannot be kept there ({error.strerror}); name another folder"
            ) from error

    def save(self, stream: SavedStream) -> None:
        """Write one stream; it is on the disk when this returns. OSError if that fails: the earlier file remains."""
        snapshot = stream.resume_state.snapshot
        content = snapshot.to_bytes() if snapshot else b""
        header = {
            "format": FORMAT,
            "stream_id": stream.stream_id,
            "model": stream.model,
            "request": stream.request,
            "resume_state": {name: getattr(stream.resume_state, name) for name in RESUME_FIELDS},
        }
        path = self._folder / f"{stream.stream_id}{SUFFIX}"
        part = path.with_suffix(".part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            line = json.dumps(header).encode()
            file.write(b"%08x " % zlib.crc32(content, zlib.crc32(line)) + line + b"\n" + content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        self._sync()

    def remove(self, stream_id: str) -> None:
        """Delete the file of a stream."""
        with suppress(FileNotFoundError):
            (self._folder / f"{stream_id}{SUFFIX}").unlink()
            self._sync()

    def check(self) -> None:
        """OSError if nothing can be written."""
        path = self._folder / "check.part"
        try:
            path.write_bytes(b"\0" * 65536)
        finally:
            path.unlink(missing_ok=True)

    def _sync(self) -> None:
        """Make the last renaming or removal survive a power cut."""
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def load(self) -> tuple[list[SavedStream], list[str]]:
        """All streams, and a sentence for every file that cannot be used."""
        found, bad = [], []
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            try:
                found.append(_read(path))
            except (OSError, ValueError, KeyError, TypeError) as error:
                bad.append(f"{path}: this state cannot be used and is ignored ({error})")
        return found, bad


def _read(path: Path) -> SavedStream:
    line, _, content = path.read_bytes().partition(b"\n")
    checksum, _, line = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(content, zlib.crc32(line)):
        raise ValueError("it is damaged")
    header = json.loads(line)
    if header["format"] not in (1, FORMAT):
        raise ValueError("it was written by another version")
    if header["stream_id"] != path.stem:
        raise ValueError("it was renamed")
    snapshot = StreamSnapshot.from_bytes(content) if content else None
    fields = header["resume_state"] if header["format"] == FORMAT else header["standing"]
    fields = {_FORMAT_1_FIELDS.get(name, name): value for name, value in fields.items()}
    size = fields.pop("size")
    resume_state = ResumeState(**fields, size=tuple(size) if size else None, snapshot=snapshot)
    return SavedStream(header["stream_id"], header["model"], header["request"], resume_state)
