"""One writer an archive: a lock that the system lets go of when its process dies, or a lease that runs out."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from memvit.store.errors import StoreError, store_errors
from memvit.store.lease import POLL_SECONDS, Held, Lease, me
from memvit.video.sources.location import is_url, redact


@contextmanager
def writer_lock(
    location: str, *, wait: bool = False, on_wait: Callable[[str], None] = lambda owner: None
) -> Iterator[Held]:
    """Hold an archive alone.

    On a local path this is a lock of the operating system on LOCATION.lock, gone with its process. Elsewhere it is a
    lease (see `memvit.store.lease`), which may be lost: whoever writes asks to be told, and checks at the end.

    StoreError if another job has it, unless `wait`.
    """
    holder = _leased(location, wait, on_wait) if is_url(location) else _local(location, wait, on_wait)
    with holder as held:
        yield held


def writer_of(location: str) -> str | None:
    """Who is writing to an archive now; None if nobody is, or that cannot be found out."""
    try:
        if is_url(location):
            return Lease(location).owner()
        with Path(location.rstrip("/") + ".lock").open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except BlockingIOError:
                return file.read().strip() or "another process"
    except Exception:  # no lock was ever there, or the store does not say
        return None


@contextmanager
def _local(location: str, wait: bool, on_wait: Callable[[str], None]) -> Iterator[Held]:
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
        file.write(me())
        file.flush()
        yield Held()


@contextmanager
def _leased(location: str, wait: bool, on_wait: Callable[[str], None]) -> Iterator[Held]:
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
