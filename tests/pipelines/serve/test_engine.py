"""An engine that hangs or ends: the server says so, and answers what it still can."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from memvit.datasets.long_cue import Scene, write_video
from memvit.engine.engine import Engine
from memvit.runtime.device_errors import DeviceLost
from memvit.streams.policy import LivePolicy
from memvit.streams.watcher import Watcher
from pipelines.serve import remote
from pipelines.serve.handle import EngineDown, WatchRequest
from tests.pipelines.serve.serving import added, client_of, fail_with, make_service, state_of
from tests.processes import wait_for

pytest.importorskip("fastapi", reason="memvit serve needs the serve extra")
LOST = "cuda:0: the device has failed and does not recover (CUDA error: device-side assert triggered); start again"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("offered")
    write_video(Scene(seed=1, seconds=8, width=128, height=96), made / "a.mp4")
    return made


def test_a_failed_device_ends_the_engine_and_is_reported(
    tiny: nn.Module, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service = make_service(tiny, folder, state=tmp_path)
    with client_of(service) as client, caplog.at_level(logging.ERROR, "memvit.serve"):
        for name in ("a", "b"):
            added(client, folder / "a.mp4", id=name, realtime=True)
        wait_for(lambda: all(state_of(client, name)["seconds"] for name in ("a", "b")), 30)
        saved = sorted(tmp_path.glob("*.stream"))
        monkeypatch.setattr("memvit.streams.watcher.device_answers", lambda device: False)
        monkeypatch.setattr(Engine, "step", fail_with(RuntimeError("CUDA error: device-side assert triggered")))
        wait_for(lambda: client.get("/health").status_code == 503, 30)
        assert "device-side assert" in client.get("/health").json()["detail"]
        assert client.get("/ready").status_code == 503
        assert "device-side assert" in caplog.text
        for name in ("a", "b"):
            wait_for(lambda name=name: state_of(client, name)["state"] == "failed")  # type: ignore[misc]
            assert client.delete(f"/api/streams/{name}").status_code == 503
        refused = client.post("/api/streams", json={"source": str(folder / "a.mp4")})
        assert refused.status_code == 503 and "device-side assert" in refused.json()["detail"]
        monkeypatch.setattr(Engine, "snapshot", fail_with(RuntimeError("the device is gone")))
    assert sorted(tmp_path.glob("*.stream")) == saved, "what was saved stands"


def test_calls_that_wait_are_refused_when_the_engine_ends(
    tiny: nn.Module, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is in the queue when the batch at hand ends the engine."""
    service = make_service(tiny, folder)
    (worker,) = service._workers
    reached, released = threading.Event(), threading.Event()

    def step(watcher: Watcher) -> Any:
        reached.set()
        released.wait(20)
        raise DeviceLost(LOST)

    monkeypatch.setattr(Watcher, "step", step)
    with client_of(service):
        assert reached.wait(20)
        refusals: list[BaseException] = []

        def ask() -> None:
            try:
                worker.add(WatchRequest("a", str(folder / "a.mp4"), LivePolicy()))
            except EngineDown as error:
                refusals.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        wait_for(lambda: not worker._commands.is_empty)  # type: ignore[attr-defined]
        released.set()
        asking.join(20)
        assert [str(error) for error in refusals] == [LOST]


def test_an_engine_that_hangs_is_answered_with_503(
    tiny: nn.Module, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.serve.worker.HUNG_SECONDS", 0.3)
    service = make_service(tiny, folder)
    reached, released = threading.Event(), threading.Event()

    def step(watcher: Watcher) -> list[Any]:
        reached.set()
        released.wait(20)
        return []

    with client_of(service) as client:
        added(client, folder / "a.mp4", id="a")
        monkeypatch.setattr(Watcher, "step", step)
        assert reached.wait(20)
        for _ in range(2):  # while it is asked, and when it is known
            answer = client.delete("/api/streams/a")
            assert (answer.status_code, "hangs" in answer.json()["detail"]) == (503, True)
        assert client.get("/health").status_code == 503
        released.set()


class FakeActor:
    """An actor whose calls return at once."""

    def __init__(self, failure: str | None) -> None:
        self.calls: list[str] = []
        self._failure = failure

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self.calls.append(name)
            if name == "report":
                return remote.Report([], {}, self._failure is None, self._failure)
            return remote.CONNECTING if name == "add" else {}

        return SimpleNamespace(remote=call)


def test_an_engine_on_ray_whose_device_has_failed_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    actors: Iterator[FakeActor] = iter([(first := FakeActor(LOST)), (second := FakeActor(None))])
    killed: list[FakeActor] = []
    stub = SimpleNamespace(get=lambda answer, timeout=None: answer, kill=killed.append)
    monkeypatch.setattr(remote, "ray", stub)
    worker = remote.RemoteEngineWorker(SimpleNamespace(remote=lambda: next(actors)), ())
    worker.add(WatchRequest("a", "rtsp://camera", LivePolicy()))
    worker.start(lambda events: None)
    wait_for(lambda: "add" in second.calls and worker.is_healthy)
    worker.close()
    assert killed[0] is first
