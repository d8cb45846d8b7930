"""One writer an archive: a lock that the system lets go of when its process dies, or a lease that runs out."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from memvit.store.errors import StoreError, store_errors
from memvit.video.location import is_url, redact

LEASE_SECONDS = 60.0
"""A remote lease that was not renewed for so long is given up."""
POLL_SECONDS = 1.0


@contextmanager
def writer_lock(
    location: str, *, wait: bool = False, on_wait: Callable[[str], None] = lambda owner: None
) -> Iterator[None]:
    """Hold an archive alone.

    On a local path this is a lock of the operating system on LOCATION.lock, gone with its process. Elsewhere it is an
    object LOCATION.lock that is renewed while the job runs; without a conditional write that all object stores share,
    two jobs that begin within the same second are told apart by reading it back.

    StoreError if another job has it, unless `wait`.
    """
    holder = _lease(location, wait, on_wait) if is_url(location) else _local(location, wait, on_wait)
    with holder:
        yield


@contextmanager
def _local(location: str, wait: bool, on_wait: Callable[[str], None]) -> Iterator[None]:
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
        file.write(_me())
        file.flush()
        yield


@contextmanager
def _lease(location: str, wait: bool, on_wait: Callable[[str], None]) -> Iterator[None]:
    import fsspec

    files, path = fsspec.core.url_to_fs(location.rstrip("/") + ".lock")
    token, told = secrets.token_hex(8), False
    with store_errors(redact(location)):
        while True:
            lease = _read_lease(files, path)
            if lease is None or time.time() - lease["renewed"] > LEASE_SECONDS:
                _write_lease(files, path, token)
                time.sleep(POLL_SECONDS)  # whoever wrote last has it
                lease = _read_lease(files, path)
                if lease is not None and lease["token"] == token:
                    break
            owner = lease["owner"] if lease else "another process"
            if not wait:
                raise _taken(location, owner)
            if not told:
                told = True
                on_wait(owner)
            time.sleep(POLL_SECONDS)
    done = threading.Event()
    thread = threading.Thread(target=_renew, args=(files, path, token, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        files.rm_file(path)


def _renew(files: Any, path: str, token: str, done: threading.Event) -> None:
    while not done.wait(LEASE_SECONDS / 4):
        _write_lease(files, path, token)


def _read_lease(files: Any, path: str) -> dict[str, Any] | None:
    files.invalidate_cache()
    try:
        content: dict[str, Any] = json.loads(files.cat_file(path))
        return content
    except (FileNotFoundError, ValueError):
        return None


def _write_lease(files: Any, path: str, token: str) -> None:
    files.pipe_file(path, json.dumps({"owner": _me(), "token": token, "renewed": time.time()}).encode())


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _taken(location: str, owner: str) -> StoreError:
    return StoreError(f"{redact(location)}: {owner} is writing to it; wait for it with --wait, or name another --out")
