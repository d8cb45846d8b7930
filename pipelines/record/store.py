"""The folder of recordings: where the files of an event are, which there are, and which are deleted to make room."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from memvit.types import MemvitError
from pipelines.database import as_os_error

from .mp4 import read_about
from .picture import read_picture_about
from .recording import Recording

Kind = Literal["video", "picture"]
SUFFIXES: dict[Kind, str] = {"video": ".mp4", "picture": ".jpg"}
EVENT_ID = re.compile("[0-9a-f]{16}")
UNFINISHED = "unfinished"
"""Name of the folder of files that are being written."""
DAYS = "????-??-??"
"""Shell pattern of the folders of days."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS recordings (
    event_id TEXT PRIMARY KEY, stream_id TEXT NOT NULL, at_unix REAL NOT NULL, video_bytes INTEGER NOT NULL,
    picture_bytes INTEGER NOT NULL, before_seconds REAL NOT NULL, seconds REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS recordings_by_time ON recordings (at_unix, event_id);
"""


def file_of(folder: Path, event_id: str, at_unix: float, kind: Kind) -> Path:
    """Where a file of an event is, in a folder for each day in UTC. ValueError if this is no id of an event."""
    if not EVENT_ID.fullmatch(event_id):
        raise ValueError(f"{event_id!r} is no id of an event")
    day = datetime.fromtimestamp(at_unix, UTC).date().isoformat()
    return folder / day / f"{event_id}{SUFFIXES[kind]}"


def files_of(folder: Path, recording: Recording) -> list[Path]:
    """The files that a recording has."""
    sizes: dict[Kind, int] = {"video": recording.video_bytes, "picture": recording.picture_bytes}
    return [file_of(folder, recording.event_id, recording.at_unix, kind) for kind, size in sizes.items() if size]


class RecordingStore:
    """An index in SQLite beside the files. All methods may be called from any thread."""

    def __init__(self, folder: Path, days: float, gigabytes: float) -> None:
        """MemvitError if the folder cannot be used. A power cut may leave files without an entry in the index: they get
        one, or are deleted if they are not whole.
        """
        self.folder, self.days, self.gigabytes = folder, days, gigabytes
        self._lock = threading.Lock()
        self.stopped_reason: str | None = None
        """Why nothing is recorded at present; None while all is well."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (folder / UNFINISHED).mkdir(exist_ok=True, mode=0o700)
            self._database = sqlite3.connect(
                folder / "recordings.sqlite", check_same_thread=False, isolation_level=None
            )
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.executescript(SCHEMA)
            self._reconcile()
            self.prune()
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise MemvitError(f"{folder}: recordings cannot be kept there ({reason}); name another folder") from error

    def add(self, recording: Recording) -> None:
        """Note a recording whose files are in their places, and make room. OSError if the index cannot be written."""
        with self._lock, as_os_error():
            self._insert(recording)
        self.stopped_reason = None
        self.prune()

    def find(self, event_ids: Sequence[str]) -> dict[str, Recording]:
        """The recordings of these events, by the event's id, as far as there are any."""
        found: dict[str, Recording] = {}
        with self._lock, as_os_error():
            for event_id in event_ids:
                row = self._database.execute("SELECT * FROM recordings WHERE event_id = ?", (event_id,)).fetchone()
                if row is not None:
                    found[event_id] = Recording(*row)
        return found

    def file(self, event_id: str, kind: Kind) -> Path | None:
        """The file of an event, if there is one."""
        recording = self.find([event_id]).get(event_id)
        if recording is None:
            return None
        path = file_of(self.folder, event_id, recording.at_unix, kind)
        return path if path in files_of(self.folder, recording) and path.is_file() else None

    def usage(self) -> tuple[int, int]:
        """How many recordings there are, and how many bytes they take."""
        with self._lock, as_os_error():
            count, size = self._database.execute(
                "SELECT count(*), coalesce(sum(video_bytes + picture_bytes), 0) FROM recordings"
            ).fetchone()
        return count, size

    def change_limits(self, days: float, gigabytes: float) -> None:
        """Other limits, which hold at once."""
        self.days, self.gigabytes = days, gigabytes
        self.prune()

    def prune(self) -> None:
        """Delete recordings that are too old, and the oldest of those that take too much room."""
        with self._lock, as_os_error():
            for recording in list(self._surplus(time.time())):
                self._delete(recording)

    def close(self) -> None:
        """Close the index."""
        with self._lock:
            self._database.close()

    # The lock is held for what follows.

    def _surplus(self, now: float) -> Iterator[Recording]:
        (taken,) = self._database.execute("SELECT sum(video_bytes + picture_bytes) FROM recordings").fetchone()
        for row in self._database.execute("SELECT * FROM recordings ORDER BY at_unix, event_id"):
            recording = Recording(*row)
            if taken <= self.gigabytes * 1e9 and recording.at_unix >= now - self.days * 86400:
                return
            taken -= recording.video_bytes + recording.picture_bytes
            yield recording

    def _delete(self, recording: Recording) -> None:
        for path in files_of(self.folder, recording):
            path.unlink(missing_ok=True)
            with suppress(OSError):  # other recordings of the day are there
                path.parent.rmdir()
        self._database.execute("DELETE FROM recordings WHERE event_id = ?", (recording.event_id,))

    def _reconcile(self) -> None:
        known: set[Path] = set()
        for row in self._database.execute("SELECT * FROM recordings").fetchall():
            recording = Recording(*row)
            paths = files_of(self.folder, recording)
            if all(path.is_file() for path in paths):
                known |= set(paths)
            else:
                self._database.execute("DELETE FROM recordings WHERE event_id = ?", (recording.event_id,))
        for day in self.folder.glob(DAYS):
            unknown = {path.stem for path in day.iterdir() if path not in known and path.suffix in SUFFIXES.values()}
            for event_id in filter(EVENT_ID.fullmatch, unknown):
                self._adopt(day, event_id)

    def _adopt(self, day: Path, event_id: str) -> None:
        """Give files an entry by what they say about themselves, or delete them."""
        video, picture = (day / f"{event_id}{SUFFIXES[kind]}" for kind in ("video", "picture"))
        found = read_about(video) if video.is_file() else None
        shown = read_picture_about(picture) if picture.is_file() else None
        try:
            values = dict((found or shown or {})["recording"])
            values["video_bytes"] = video.stat().st_size if found else 0
            values["picture_bytes"] = picture.stat().st_size if shown else 0
            recording = Recording(**values)
            is_placed = (
                recording.event_id == event_id
                and day == file_of(self.folder, event_id, recording.at_unix, "video").parent
            )
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            is_placed = False
        if is_placed:
            self._insert(recording)
        for path, is_whole in ((video, found), (picture, shown)):
            if not is_placed or not is_whole:
                path.unlink(missing_ok=True)

    def _insert(self, recording: Recording) -> None:
        values = tuple(vars(recording).values())
        self._database.execute(f"INSERT OR REPLACE INTO recordings VALUES ({', '.join('?' * len(values))})", values)
