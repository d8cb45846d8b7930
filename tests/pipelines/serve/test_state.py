"""Saved streams: what was answered with 201 is on disk, whatever the source is called."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import zlib
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from torch import nn
from typer.testing import CliRunner

from memvit.datasets.long_cue import Scene, write_video
from memvit.streams.events import SessionBegan, StreamLost
from memvit.streams.policy import LivePolicy
from memvit.types import MemvitError
from pipelines.cli.app import app as cli
from pipelines.serve.ids import free_id, is_id
from pipelines.serve.requests import StreamRequest
from pipelines.serve.resume import ResumeState
from pipelines.serve.serve_options import ServeOptions
from pipelines.serve.state import StateFolder
from tests.pipelines.serve.serving import added, client_of, make_service, state_of
from tests.processes import wait_for

NAMES = [
    "my holiday", "a?b#c", "it's \"here\"", "a[1](2){3}", "100%", "%41", "<img src=x onerror=alert(1)>", "café",
    "視頻", "..", "-", "x" * 200, "a&b=c;d", "con:aux",
]  # fmt: skip


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "video.mp4"
    write_video(Scene(seed=1, seconds=4, width=64, height=48), path)
    return path


@pytest.fixture
def offered(tmp_path: Path, video: Path) -> Path:
    """A folder with one file of each name; only the first is a video."""
    folder = tmp_path / "offered"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.mp4").write_bytes(b"not a video")
    shutil.copy(video, folder / "my holiday.mp4")
    return folder


def listed(client: TestClient) -> dict[str, dict[str, Any]]:
    return {stream["id"]: stream for stream in client.get("/api/streams").json()["streams"]}


def test_every_id_that_the_server_gives_can_be_read_restored_and_removed(
    tiny: nn.Module, offered: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with client_of(make_service(tiny, offered, max_streams=20, state=state)) as client:
        ids = {name: added(client, offered / f"{name}.mp4")["id"] for name in NAMES}
        assert len(set(ids.values())) == len(NAMES) and all(map(is_id, ids.values()))
        assert ids["my holiday"] == "my_holiday" and ids["café"] == "cafe" and ids["視頻"].startswith("stream")
    with client_of(make_service(tiny, offered, max_streams=20, state=state)) as client:
        assert {stream["name"]: name for name, stream in listed(client).items()} == ids
        for stream_id in ids.values():
            assert client.get(f"/api/streams/{stream_id}").status_code == 200
            assert client.delete(f"/api/streams/{stream_id}").status_code == 204
    assert not list(state.glob("*.stream"))


def test_ids_are_readable_and_unique() -> None:
    assert free_id("camera-1_main", ()) == "camera-1_main"
    assert free_id("a b", ("a_b", "a_b-2")) == "a_b-3"
    assert len(free_id("x" * 500, ["x" * 56])) <= 64
    assert not is_id("a b") and not is_id("a\n") and not is_id(None)


def test_an_id_that_no_path_can_hold_is_replaced_when_it_is_restored(
    tiny: nn.Module, offered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an earlier version saved it."""
    state = tmp_path / "state"
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.serve.service.free_id", lambda name, taken: name)
        with client_of(make_service(tiny, offered, state=state)) as client:
            assert added(client, offered / "my holiday.mp4")["id"] == "my holiday"
    with client_of(make_service(tiny, offered, state=state)) as client:
        assert list(listed(client)) == ["my_holiday"]
    assert [path.name for path in state.iterdir()] == ["my_holiday.stream"]


def test_a_stream_is_on_disk_before_201_is_answered(
    tiny: nn.Module, offered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kill at the moment of the answer would leave it: a server begins with a copy of the folder."""
    state, killed = tmp_path / "state", tmp_path / "killed"
    synced: list[str] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    with client_of(make_service(tiny, offered, state=state, save_every_seconds=3600)) as client:
        added(client, offered / "my holiday.mp4", id="a", overflow="wait")
        shutil.copytree(state, killed)
        assert synced == ["a.part", "state"]
        client.delete("/api/streams/a")
        assert synced[2:] == ["state"] and not list(state.iterdir())
    with client_of(make_service(tiny, offered, state=killed)) as client:
        assert list(listed(client)) == ["a"]


def test_memory_is_saved_often_enough_to_be_of_use_after_a_kill() -> None:
    """What is saved is at most so old; a restart within the rest of the time goes on with the session."""
    assert ServeOptions.save_every_seconds <= 10 < LivePolicy.memory_timeout_seconds


def test_a_live_stream_goes_on_with_its_session_after_a_kill(tiny: nn.Module, video: Path, tmp_path: Path) -> None:
    """The second server starts from a copy of the state folder, taken while the first one runs, as SIGKILL leaves it.

    Two clips are saved by then, so the first result of the second server reads memory: the model reads two clips back.
    """
    state, killed = tmp_path / "state", tmp_path / "killed"

    def saved_seconds() -> float:
        streams, _ = StateFolder(state).load()
        return streams[0].resume_state.last_centre_seconds or 0.0

    with client_of(make_service(tiny, video.parent, state=state, save_every_seconds=0.1)) as client:
        added(client, video, id="a", realtime=True)
        wait_for(lambda: saved_seconds() >= 1, 30)
        shutil.copytree(state, killed)
        last_seconds = state_of(client, "a")["seconds"]
    with client_of(make_service(tiny, video.parent, state=killed, save_every_seconds=0.1)) as client:
        wait_for(lambda: (state_of(client, "a")["seconds"] or 0) > last_seconds, 30)
        second = state_of(client, "a")
    assert second["session"] == 0 and second["memory_reach_seconds"] > 0


class FullDisk:
    """A state folder that cannot be written while it is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        for name in ("save", "check"):
            monkeypatch.setattr(StateFolder, name, self._guarded(getattr(StateFolder, name)))

    def _guarded(self, method: Any) -> Any:
        def call(*arguments: Any) -> None:
            if self.is_full:
                raise OSError(errno.ENOSPC, "No space left on device")
            method(*arguments)

        return call


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    return FullDisk(monkeypatch)


def test_a_full_state_disk_refuses_new_streams_and_ends_readiness(
    tiny: nn.Module, offered: Path, tmp_path: Path, disk: FullDisk
) -> None:
    with client_of(make_service(tiny, offered, state=tmp_path / "state", save_every_seconds=0.1)) as client:
        wait_for(lambda: client.get("/ready").status_code == 200)
        disk.is_full = True
        refused = client.post("/api/streams", json={"source": str(offered / "my holiday.mp4"), "id": "a"})
        assert (refused.status_code, "takes no more" in refused.json()["detail"]) == (503, True)
        assert not listed(client) and client.get("/ready").status_code == 503
        assert client.get("/health").status_code == 200
        disk.is_full = False
        wait_for(lambda: client.get("/ready").status_code == 200)
        added(client, offered / "my holiday.mp4", id="a", realtime=True)
        disk.is_full = True
        wait_for(lambda: client.get("/ready").status_code == 503)
        assert list(listed(client)) == ["a"], "it is watched on"
        disk.is_full = False
        wait_for(lambda: client.get("/ready").status_code == 200)


def test_a_full_disk_loses_no_stream_of_the_last_run(
    tiny: nn.Module, offered: Path, tmp_path: Path, disk: FullDisk
) -> None:
    for is_full in (False, True):
        disk.is_full = is_full
        with client_of(make_service(tiny, offered, state=tmp_path / "state")) as client:
            if not is_full:
                added(client, offered / "my holiday.mp4", id="a")
            assert list(listed(client)) == ["a"]


def test_the_servers_policy_is_the_default_of_its_streams(tiny: nn.Module, offered: Path) -> None:
    policy = LivePolicy(overflow="drop", max_age_seconds=0.5, memory_timeout_seconds=7)
    service = make_service(tiny, offered, policy=policy)
    with client_of(service) as client:
        added(client, offered / "my holiday.mp4", id="a")
        added(client, offered / "my holiday.mp4", id="b", overflow="wait", memory_timeout_seconds=0)
        found = {name: reader.policy for name, reader in service._workers[0]._readers.items()}  # type: ignore[attr-defined]
    assert found["a"] == policy
    assert found["b"] == LivePolicy(overflow="wait", max_age_seconds=0.5, memory_timeout_seconds=0)


def test_the_command_hands_its_policy_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def make(*arguments: Any, **options: Any) -> None:
        seen.update(options)
        raise MemvitError("that is all")

    monkeypatch.setattr("pipelines.serve.run.make_service", make)
    words = ["--overflow", "wait", "--max-age", "1.5", "--memory-timeout", "60"]
    assert "that is all" in CliRunner().invoke(cli, ["serve", *words]).output
    assert seen["policy"] == LivePolicy(overflow="wait", max_age_seconds=1.5, memory_timeout_seconds=60)
    assert seen["save_every_seconds"] <= 10


def test_a_missing_initial_file_is_an_error_before_the_server_starts(tiny: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(MemvitError, match=r"nosuch.mp4: no such file or folder; check the path"):
        make_service(tiny, tmp_path).add_initial_streams(
            ["rtsp://camera/1", "/dev/video9", "nosuch.mp4"], realtime=False
        )


def test_losses_and_sessions_are_logged(tiny: nn.Module, offered: Path, caplog: pytest.LogCaptureFixture) -> None:
    service = make_service(tiny, offered)
    with client_of(service) as client, caplog.at_level(logging.WARNING, "memvit.serve"):
        added(client, offered / "my holiday.mp4", id="a")
        service._publish([StreamLost("a", "rtsp://***@camera: refused", "refused", 2.0), SessionBegan("a", 1, "a gap")])
        service._publish([SessionBegan("gone", 1, "a gap")])
    assert caplog.messages == [
        "stream a is lost: rtsp://***@camera: refused; the next attempt follows in 2 s",
        "stream a: session 1 begins without memory: a gap",
    ]


def test_earlier_names_of_fields_are_accepted() -> None:
    earlier = StreamRequest.model_validate({"source": "x", "late": "wait", "keep_memory_seconds": 5, "pace": True})
    assert earlier == StreamRequest(source="x", overflow="wait", memory_timeout_seconds=5, realtime=True)


def test_a_state_file_of_the_earlier_format_is_read(tmp_path: Path) -> None:
    header = {
        "format": 1, "stream_id": "a", "model": "tiny", "request": {"source": "x", "pace": True},
        "standing": {
            "session": 2, "last_centre_seconds": 7.0, "ahead_seconds": 0.5, "heard_unix": 1e9, "size": [64, 48],
        },
    }  # fmt: skip
    line = json.dumps(header).encode()
    (tmp_path / "a.stream").write_bytes(b"%08x " % zlib.crc32(b"", zlib.crc32(line)) + line + b"\n")
    (stream,), problems = StateFolder(tmp_path).load()
    assert not problems and StreamRequest(**stream.request).realtime
    assert stream.resume_state == ResumeState(2, 7.0, 0.5, last_frame_unix=1e9, size=(64, 48))
