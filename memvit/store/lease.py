"""Ensures one writer of an archive on an object store, by a lease that its holder renews and that expires otherwise.

Each lease is an object of its own in the folder ARCHIVE.lease, with a number one higher than the last; the highest
number is valid. It is created on the condition that it does not exist, so that only one of two jobs can create it. Only
its holder writes it afterwards: renewal cannot overwrite the lease of a later job, and closing marks the holder's own
lease as released. The age of a lease is the difference of two times that the store gave, so the clocks of the machines
need not agree.

A holder that could not renew its lease for half of LEASE_SECONDS has lost it, which is before another job can take it.
Some stores ignore the condition. There, each of two jobs that start at the same time reads the object back after
POLL_SECONDS to see whose it is; this works unless a write takes longer than that to arrive.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from memvit.store.errors import StoreError
from memvit.types import MemvitError
from memvit.video.sources.location import redact

LEASE_SECONDS = 60.0
"""A lease that was not renewed for so long may be taken over."""
POLL_SECONDS = 1.0
"""Time between two tries to get a lease, and before it is read back."""


class WriterHold:
    """The exclusive right to write an archive. As a local lock it is never lost; a lease can be."""

    def __init__(self) -> None:
        self._lost_because = ""
        self._on_lost: list[Callable[[], None]] = []

    def when_lost(self, call: Callable[[], None]) -> None:
        """Register a function that is called, in another thread, when the right is lost; at once if it is lost now."""
        self._on_lost.append(call)
        if self._lost_because:
            call()

    def check(self) -> None:
        """Raise StoreError if the right was lost."""
        if self._lost_because:
            raise StoreError(self._lost_because)

    def _lose(self, reason: str) -> None:
        if not self._lost_because:
            self._lost_because = reason
            for call in self._on_lost:
                call()


class Lease(WriterHold):
    """A lease on an archive: call `acquire`, then `close`."""

    def __init__(self, location: str) -> None:
        import fsspec

        super().__init__()
        self._shown = redact(location)
        self._files, self._folder = fsspec.core.url_to_fs(location.rstrip("/") + ".lease")
        self._token = secrets.token_hex(8)
        self._number = 0
        self._renewed = 0.0
        """When the last successful write began, by the monotonic clock of this process."""
        self._failure = ""
        """Error of the last renewal that failed, in parentheses."""
        self._done = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._renew, self._watch)]

    def acquire(self) -> str | None:
        """Try once to get the lease: return None on success, otherwise the name of its holder.

        Raises StoreError if the store cannot be read or written.
        """
        try:
            owner = self._try()
        except MemvitError:
            raise
        except Exception as error:  # Stores raise exceptions of many types.
            raise self._unreachable(error) from error
        if owner is None:
            for thread in self._threads:
                thread.start()
        return owner

    def owner(self) -> str | None:
        """Return the name of the holder without a try to get the lease; None if there is none.

        Whether a lease has expired is judged by the clock of this machine here.
        """
        numbers = self._numbers()
        lease = self._read(numbers[-1]) if numbers else None
        if lease is None or lease["released"] or time.time() - lease["renewed"] > LEASE_SECONDS:
            return None
        return str(lease["owner"])

    def close(self) -> None:
        """Release the lease; the lease of another job is never written."""
        self._done.set()
        for thread in self._threads:
            thread.join(LEASE_SECONDS / 2)
        if not self._lost_because:
            with contextlib.suppress(Exception):  # If this fails, the lease expires by itself.
                self._write(self._number, released=True)

    def _try(self) -> str | None:
        numbers = self._numbers()
        if numbers:
            latest = self._read(numbers[-1])
            if latest is not None and not latest["released"] and self._age(numbers[-1], latest) <= LEASE_SECONDS:
                return str(latest["owner"])
        number, began = (numbers[-1] if numbers else 0) + 1, time.monotonic()
        failure: Exception | None = None
        try:
            self._create(number)
        except Exception as error:  # It exists already, or the response was lost: reading it back tells which.
            failure = error
        time.sleep(POLL_SECONDS)
        found = self._read(number)
        if found is None:
            raise self._unreachable(failure) from failure
        if found["token"] != self._token or self._numbers()[-1] != number:
            return str(found["owner"])
        self._number, self._renewed = number, began
        for older in numbers:
            with contextlib.suppress(Exception):
                self._files.rm_file(self._path(older))
        return None

    def _renew(self) -> None:
        while not self._done.wait(LEASE_SECONDS / 6):
            began = time.monotonic()
            try:
                if any(number > self._number for number in self._numbers()):
                    self._lose(f"{self._shown}: another job has taken it over, so this one ends; run it again")
                    return
                if not self._lost_because:
                    self._write(self._number, released=False)
                    self._renewed = began
            except Exception as error:  # It is tried again until `_watch` gives the lease up.
                self._failure = f" ({error})"

    def _lose(self, reason: str) -> None:
        self._done.set()  # A lost lease must not be renewed.
        super()._lose(reason)

    def _watch(self) -> None:
        while not self._done.wait(LEASE_SECONDS / 60):
            if time.monotonic() - self._renewed > LEASE_SECONDS / 2:
                self._lose(
                    f"{self._shown}: the lease on it could not be renewed{self._failure}, so this job ends before "
                    "another may begin; what is committed stays, run it again"
                )
                return

    def _numbers(self) -> list[int]:
        self._files.invalidate_cache()
        try:
            names = [name.rstrip("/").rpartition("/")[2] for name in self._files.ls(self._folder, detail=False)]
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if name.isdigit())

    def _path(self, number: int) -> str:
        return f"{self._folder}/{number:08d}"

    def _read(self, number: int) -> dict[str, Any] | None:
        self._files.invalidate_cache()
        try:
            content: dict[str, Any] = json.loads(self._files.cat_file(self._path(number)))
            return {"owner": "another process", "token": "", "renewed": 0.0, "released": False, **content}
        except FileNotFoundError:
            return None
        except (TypeError, ValueError):  # It is incomplete or damaged; its writer may still be running.
            return {"owner": "another process", "token": "", "renewed": time.time(), "released": False}

    def _content(self, *, released: bool) -> bytes:
        content = {"owner": process_name(), "token": self._token, "renewed": time.time(), "released": released}
        return json.dumps(content).encode()

    def _create(self, number: int) -> None:
        try:
            self._files.pipe_file(self._path(number), self._content(released=False), mode="create")
        except TypeError:  # This file system has no conditional creation.
            if self._read(number) is None:
                self._write(number, released=False)

    def _write(self, number: int, *, released: bool) -> None:
        self._files.pipe_file(self._path(number), self._content(released=released))

    def _age(self, number: int, lease: dict[str, Any]) -> float:
        """Return the seconds since a lease was renewed, by the clock of the store, read from a new object."""
        probe = f"{self._folder}/{self._token}"
        try:
            self._files.pipe_file(probe, b"now")
            self._files.invalidate_cache()
            age: float = (self._files.modified(probe) - self._files.modified(self._path(number))).total_seconds()
            self._files.rm_file(probe)
            return age
        except NotImplementedError:
            return time.time() - float(lease["renewed"])

    def _unreachable(self, error: BaseException | None) -> StoreError:
        return StoreError(f"{self._shown}: the store does not take a lease on it ({error}); check address and access")


def process_name() -> str:
    """Return the name of this process and its machine, for messages."""
    return f"process {os.getpid()} on {socket.gethostname()}"
