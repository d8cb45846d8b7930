"""Ensures one writer for each archive: by a lock of the operating system, or by a lease on an object store."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from memvit.store.errors import StoreError, store_errors
from memvit.store.lease import POLL_SECONDS, Lease, WriterHold, process_name
from memvit.video.sources.location import is_url, redact


@contextmanager
def writer_lock(
    location: str, *, wait: bool = False, on_wait: Callable[[str], None] = lambda owner: None
) -> Iterator[WriterHold]:
    """Hold the exclusive right to write an archive.

    For a local path this is a lock of the operating system on LOCATION.lock, which ends with its process. For a URL it
    is a lease (`memvit.store.lease`), which can be lost: the writer registers with `when_lost` and calls `check` at the
    end.

    Raises StoreError if another job holds it, unless `wait`.
    """
    holder = _leased(location, wait, on_wait) if is_url(location) else _local(location, wait, on_wait)
    with holder as held:
        yield held


def writer_of(location: str) -> str | None:
    """Return who is writing to an archive now; None if nobody is, or if that cannot be found out."""
    try:
        if is_url(location):
            return Lease(location).owner()
        with Path(location.rstrip("/") + ".lock").open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except BlockingIOError:
                return file.read().strip() or "another process"
    except Exception:  # There never was a lock, or the store cannot be reached.
        return None


@contextmanager
def _local(location: str, wait: bool, on_wait: Callable[[str], None]) -> Iterator[WriterHold]:
    path = Path(location.rstrip("/") + ".lock")
    with store_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            if not wait:
                raise _taken(location, owner) from None
            on_wait(owner)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        file.truncate()
        file.write(process_name())
        file.flush()
        yield WriterHold()


@contextmanager
def _leased(location: str, wait: bool, on_wait: Callable[[str], None]) -> Iterator[WriterHold]:
    lease, told = Lease(location), False
    while (owner := lease.acquire()) is not None:
        if not wait:
            raise _taken(location, owner)
        if not told:
            told = True
            on_wait(owner)
        time.sleep(POLL_SECONDS)
    try:
        yield lease
    finally:
        lease.close()


def _taken(location: str, owner: str) -> StoreError:
    return StoreError(f"{redact(location)}: {owner} is writing to it; wait for it with --wait, or name another --out")
