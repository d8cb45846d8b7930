"""Events of the rules in SQLite, each as it was told last; asked for by stream, rule, action, person and time."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memvit.events.event import Event
from memvit.types import MemvitError
from pipelines.database import as_os_error

MAX_EVENTS_IN_MEMORY = 10_000
"""Without a folder, so many of the newest events are kept."""
PRUNE_EVERY = 256
"""Old events are deleted once in so many writings."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    id TEXT PRIMARY KEY, stream TEXT NOT NULL, rule TEXT NOT NULL, action TEXT, person INTEGER,
    at_unix REAL NOT NULL, number INTEGER NOT NULL, record TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS events_by_time ON events (at_unix, id);
CREATE INDEX IF NOT EXISTS events_by_stream ON events (stream, at_unix, id);
"""
UPSERT = """
INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET action = excluded.action, number = excluded.number, record = excluded.record
WHERE excluded.number > events.number
"""


@dataclass(frozen=True)
class EventQuery:
    """Which events are asked for; None asks for all."""

    stream: str | None = None
    rule: str | None = None
    action: str | None = None
    person: int | None = None
    from_unix: float | None = None
    to_unix: float | None = None


class EventHistory:
    """All methods may be called from any thread."""

    def __init__(self, folder: Path | None, days: float) -> None:
        """MemvitError if the folder cannot be used."""
        self._keep_seconds = days * 86400 if folder is not None else None
        self._lock = threading.Lock()
        self._writes = 0
        where = ":memory:"
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                where = str(folder / "events.sqlite")
            self._database = sqlite3.connect(where, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise MemvitError(f"{folder}: events cannot be kept there ({reason}); name another folder") from error

    def add(self, events: Sequence[Event]) -> None:
        """Keep events; one that was told before, with a larger number, stays as it is. OSError if they are not kept."""
        now = time.time()
        rows = [
            (
                event.id,
                event.stream_id,
                event.rule,
                event.action,
                event.person,
                now if event.start_unix is None else event.start_unix,
                event.number,
                event.to_json(),
            )
            for event in events
        ]
        with self._lock, as_os_error(), self._transaction():
            self._database.executemany(UPSERT, rows)
            if self._writes % PRUNE_EVERY == 0:
                self._prune(now)
            self._writes += 1

    def find(self, query: EventQuery, limit: int, cursor: str | None = None) -> tuple[list[dict[str, Any]], str | None]:
        """The newest events, newest first, and a cursor for those that follow; None if there are no more. ValueError if
        the cursor is none of ours.
        """
        where, values = _conditions(query)
        if cursor is not None:
            at_text, _, name = cursor.partition("~")
            where.append("(at_unix, id) < (?, ?)")
            values += [float(at_text), name]
        clause = f"WHERE {' AND '.join(where)}" if where else ""
        sql = f"SELECT at_unix, id, record FROM events {clause} ORDER BY at_unix DESC, id DESC LIMIT ?"
        with self._lock:
            rows = self._database.execute(sql, [*values, limit + 1]).fetchall()
        found = [json.loads(record) for _, _, record in rows[:limit]]
        return found, f"{rows[limit - 1][0]!r}~{rows[limit - 1][1]}" if len(rows) > limit else None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def _prune(self, now: float) -> None:
        if self._keep_seconds is not None:
            self._database.execute("DELETE FROM events WHERE at_unix < ?", (now - self._keep_seconds,))
        else:
            self._database.execute(
                "DELETE FROM events WHERE (at_unix, id) < "
                "(SELECT at_unix, id FROM events ORDER BY at_unix DESC, id DESC LIMIT 1 OFFSET ?)",
                (MAX_EVENTS_IN_MEMORY - 1,),
            )


def _conditions(query: EventQuery) -> tuple[list[str], list[Any]]:
    wanted = {
        "stream = ?": query.stream,
        "rule = ?": query.rule,
        "action = ?": query.action,
        "person = ?": query.person,
        "at_unix >= ?": query.from_unix,
        "at_unix < ?": query.to_unix,
    }
    given = {condition: value for condition, value in wanted.items() if value is not None}
    return list(given), list(given.values())
