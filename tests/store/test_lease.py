"""The lease on an object store: whatever the network does, two jobs never hold it and none overwrites another's."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from memvit.store import writer_lock
from memvit.store.errors import StoreError
from memvit.store.lease import Lease
from memvit.store.lock import writer_of

LEASE = 0.6
"""LEASE_SECONDS in these tests."""


class FaultyFiles(MemoryFileSystem):
    """A memory file system whose network fails on request."""

    protocol = "faulty"
    store: dict[str, Any] = {}  # noqa: RUF012 as in its base
    pseudo_dirs = [""]  # noqa: RUF012
    cachable = False
    down = False
    """Whether every call fails."""
    answers_lost = 0
    """So many writes succeed, but their response is lost."""
    lock = threading.Lock()

    def _check(self) -> None:
        if FaultyFiles.down:
            raise ConnectionError("the network is down")

    def ls(self, path: str, detail: bool = True, **more: Any) -> Any:
        self._check()
        with self.lock:
            return super().ls(path, detail=detail, **more)

    def cat_file(self, path: str, *places: Any, **more: Any) -> Any:
        self._check()
        return super().cat_file(path, *places, **more)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **more: Any) -> None:
        self._check()
        with self.lock:
            super().pipe_file(path, value, mode=mode, **more)
        if FaultyFiles.answers_lost:
            FaultyFiles.answers_lost -= 1
            raise TimeoutError("no answer")


@pytest.fixture
def location(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("memvit.store.lease.POLL_SECONDS", 0.02)
    monkeypatch.setattr("memvit.store.lease.LEASE_SECONDS", LEASE)
    fsspec.register_implementation("faulty", FaultyFiles, clobber=True)
    FaultyFiles.store, FaultyFiles.pseudo_dirs = {}, [""]
    yield "faulty://bucket/archive.zarr"
    FaultyFiles.down, FaultyFiles.answers_lost = False, 0


def content() -> dict[str, dict[str, Any]]:
    """All leases in the store: number → content."""
    return {path[-8:]: json.loads(file.getvalue()) for path, file in FaultyFiles.store.items() if path[-8:].isdigit()}


def test_only_one_job_holds_the_lease(location: str) -> None:
    assert writer_of(location) is None
    with writer_lock(location), pytest.raises(StoreError, match="is writing to it"):
        assert "process" in (writer_of(location) or "")
        with writer_lock(location):
            pass
    assert writer_of(location) is None
    with writer_lock(location) as held:
        held.check()
    assert [lease["released"] for lease in content().values()] == [True]


def test_the_lease_is_renewed_while_the_job_runs(location: str) -> None:
    with writer_lock(location) as held:
        until = time.monotonic() + 2 * LEASE
        while time.monotonic() < until:
            assert Lease(location).acquire() is not None
        held.check()


def test_only_one_of_many_jobs_gets_an_expired_lease(location: str) -> None:
    dead = Lease(location)
    dead._try()  # Its threads are not started, so it is never renewed.
    time.sleep(1.2 * LEASE)
    rivals = [Lease(location) for _ in range(8)]
    owners: list[str | None] = []
    threads = [threading.Thread(target=lambda rival=rival: owners.append(rival.acquire())) for rival in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert owners.count(None) == 1 and len(owners) == 8
    for rival in rivals:
        rival.close() if rival._number else None


def test_a_short_failure_of_the_network_does_not_end_renewal(location: str) -> None:
    with writer_lock(location) as held:
        first = content()["00000001"]["renewed"]
        FaultyFiles.down = True
        time.sleep(LEASE / 5)
        FaultyFiles.down = False
        until = time.monotonic() + 10
        while content()["00000001"]["renewed"] == first:
            assert time.monotonic() < until, "it was never renewed again"
        held.check()


def test_a_long_failure_of_the_network_ends_the_job_before_another_can_start(location: str) -> None:
    """The job is told that its lease is lost, and its close does not change the successor's lease."""
    stopped = threading.Event()
    with (
        pytest.raises(StoreError, match=r"could not be renewed \(the network is down\)"),
        writer_lock(location) as held,
    ):
        held.when_lost(stopped.set)
        FaultyFiles.down = True
        assert stopped.wait(10)
        FaultyFiles.down = False
        time.sleep(1.2 * LEASE)
        successor = Lease(location)
        assert successor.acquire() is None
        held.check()
    mine = content()["00000002"]
    assert mine["token"] == successor._token and not mine["released"]
    successor.close()


def test_a_job_that_was_suspended_does_not_disturb_its_successor(location: str) -> None:
    """It wakes up after its lease expired: it writes only its own object, sees the successor's, and ends."""
    sleeper = Lease(location)
    assert sleeper._try() is None
    time.sleep(1.2 * LEASE)
    with writer_lock(location) as held:
        sleeper._write(sleeper._number, released=False)  # The renewal during which it was suspended.
        sleeper._renewed = time.monotonic()
        for thread in sleeper._threads:
            thread.start()
        stopped = threading.Event()
        sleeper.when_lost(stopped.set)
        assert stopped.wait(10)
        with pytest.raises(StoreError, match="another job has taken it over"):
            sleeper.check()
        sleeper.close()
        held.check()
        assert writer_of(location) is not None


def test_a_lost_response_is_resolved_by_reading_back(location: str) -> None:
    FaultyFiles.answers_lost = 1
    with writer_lock(location) as held:
        held.check()


def test_an_unreachable_store_is_reported_in_one_sentence(location: str) -> None:
    FaultyFiles.down = True
    with pytest.raises(StoreError, match=r"does not take a lease on it.*the network is down"), writer_lock(location):
        pass
    assert writer_of(location) is None
