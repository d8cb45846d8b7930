"""Messages that wait to be sent, on disk: a message is kept until its receiver has confirmed it.

Keys of sent messages are remembered, so that an event that is told again after a restart is not sent again.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from memvit.events.event import Event
from memvit.types import MemvitError
from pipelines.database import as_os_error

from .sink import Message, SinkFilter, key_of

REMEMBERED_SECONDS = 7 * 86400.0
"""How long keys of sent messages are remembered."""
FORGET_EVERY = 1000
"""Old keys are deleted once in so many messages."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, stream TEXT NOT NULL, rule TEXT NOT NULL,
    key TEXT NOT NULL, body TEXT NOT NULL, created_unix REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    next_unix REAL NOT NULL DEFAULT 0, is_dead INTEGER NOT NULL DEFAULT 0, error TEXT, UNIQUE (sink, key)
);
CREATE INDEX IF NOT EXISTS messages_by_sink ON messages (sink, is_dead, stream, number);
CREATE TABLE IF NOT EXISTS sent (sink TEXT, key TEXT, sent_unix REAL, PRIMARY KEY (sink, key)) WITHOUT ROWID;
"""
HEADS = """
WITH RECURSIVE streams (stream) AS (
    SELECT min(stream) FROM messages WHERE sink = :sink AND is_dead = 0
    UNION ALL
    SELECT (SELECT min(stream) FROM messages WHERE sink = :sink AND is_dead = 0 AND stream > streams.stream)
    FROM streams WHERE streams.stream IS NOT NULL
)
SELECT number, messages.stream, rule, key, body, attempts, next_unix FROM streams JOIN messages ON number = (
    SELECT min(number) FROM messages WHERE sink = :sink AND is_dead = 0 AND stream = streams.stream
)
ORDER BY next_unix <= :now DESC, number
"""
"""The oldest message of each stream. It finds the streams one by one in the index, however many messages wait."""


@dataclass(frozen=True)
class DeadLetter:
    """A message that will not be sent by itself any more."""

    number: int
    sink: str
    stream: str
    key: str
    created_unix: float
    attempts: int
    error: str


class Outbox:
    """All methods may be called from any thread; errors of the disk are `OSError`."""

    def __init__(self, path: Path, body_of: Callable[[Event], str] = Event.to_json) -> None:
        """`body_of` an event is what is sent. MemvitError if the file cannot be used."""
        self._body_of = body_of
        self._lock = threading.Lock()
        self.changed = threading.Condition(self._lock)
        """Notified when there are new messages, or older ones may be sent again."""
        self.version = 0
        """Another number each time that `changed` is notified."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise MemvitError(f"{path}: messages cannot be kept there ({error}); name another folder") from error

    def add(self, events: Sequence[Event], filters: Mapping[str, SinkFilter]) -> None:
        """Keep a message for each sink that wants an event and was not sent it before. They are on disk on return."""
        now = time.time()
        rows = [
            (sink, event.stream_id, event.rule, key_of(event), self._body_of(event), now, sink, key_of(event))
            for event in events
            for sink, wanted in filters.items()
            if wanted.wants(event)
        ]
        if not rows:
            return
        with self._writing():
            self._database.executemany(
                "INSERT OR IGNORE INTO messages (sink, stream, rule, key, body, created_unix) SELECT ?, ?, ?, ?, ?, ? "
                "WHERE NOT EXISTS (SELECT 1 FROM sent WHERE sink = ? AND key = ?)",
                rows,
            )
            self._note_change()

    def next(self, sink: str, now: float, without: Collection[str] = ()) -> tuple[Message | None, float]:
        """The message that is to be sent now, and when the next one may be sent at the latest. Of each stream only the
        oldest message is sent, so that a receiver gets them in order. `without`: streams that are left out.
        """
        with self._lock, as_os_error():
            rows = self._database.execute(HEADS, {"sink": sink, "now": now}).fetchall()
        rows = [row for row in rows if row[1] not in without]
        for number, stream, rule, key, body, attempts, next_unix in rows:
            if next_unix <= now:
                return Message(number, stream, rule, key, body, attempts), now
        return None, min((row[6] for row in rows), default=float("inf"))

    def sent(self, sink: str, message: Message) -> None:
        """The receiver has confirmed a message."""
        now = time.time()
        with self._writing():
            self._database.execute("DELETE FROM messages WHERE number = ?", (message.number,))
            self._database.execute("INSERT OR REPLACE INTO sent VALUES (?, ?, ?)", (sink, message.key, now))
            if message.number % FORGET_EVERY == 0:
                self._database.execute("DELETE FROM sent WHERE sent_unix < ?", (now - REMEMBERED_SECONDS,))

    def failed(self, message: Message, error: str, next_unix: float) -> None:
        """A message is to be sent again at that time; those of its stream that follow wait for it."""
        with self._writing():
            self._database.execute(
                "UPDATE messages SET attempts = attempts + 1, error = ?, next_unix = ? WHERE number = ?",
                (error, next_unix, message.number),
            )

    def bury(self, message: Message, error: str) -> None:
        """A message becomes a dead letter; those of its stream that follow go on."""
        with self._writing():
            self._database.execute(
                "UPDATE messages SET attempts = attempts + 1, error = ?, is_dead = 1 WHERE number = ?",
                (error, message.number),
            )

    def dead_letters(self, limit: int = 1000) -> list[DeadLetter]:
        """The dead letters, oldest first."""
        with self._lock, as_os_error():
            rows = self._database.execute(
                "SELECT number, sink, stream, key, created_unix, attempts, error FROM messages WHERE is_dead = 1 "
                "ORDER BY number LIMIT ?",
                (limit,),
            ).fetchall()
        return [DeadLetter(*row) for row in rows]

    def send_again(self, number: int | None = None) -> int:
        """Let a dead letter, or all, be sent again; returns how many there were."""
        condition, values = ("", ()) if number is None else (" AND number = ?", (number,))
        with self._writing():
            found = self._database.execute(
                f"UPDATE messages SET is_dead = 0, attempts = 0, next_unix = 0 WHERE is_dead = 1{condition}", values
            ).rowcount
            self._note_change()
        return int(found)

    def counts(self) -> dict[tuple[str, str], int]:
        """(sink, "waiting" or "dead") → how many messages."""
        with self._lock, as_os_error():
            rows = self._database.execute(
                "SELECT sink, is_dead, count(*) FROM messages GROUP BY sink, is_dead"
            ).fetchall()
        return {(sink, "dead" if is_dead else "waiting"): count for sink, is_dead, count in rows}

    def age_seconds(self, message: Message) -> float:
        """How long ago a message came."""
        with self._lock, as_os_error():
            row = self._database.execute(
                "SELECT created_unix FROM messages WHERE number = ?", (message.number,)
            ).fetchone()
        return time.time() - row[0] if row else 0.0

    def wait(self, version: int, seconds: float) -> None:
        """Return as soon as there is another version, or after some seconds."""
        with self.changed:
            self.changed.wait_for(lambda: self.version != version, seconds)

    def wake(self) -> None:
        """Let everybody who waits look again."""
        with self.changed:
            self._note_change()

    def _note_change(self) -> None:
        self.version += 1
        self.changed.notify_all()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, as_os_error():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
