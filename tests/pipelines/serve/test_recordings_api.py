"""Recordings over the API: with ranges, behind the token, and of events only."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from torch import nn

from memvit.streams.events import StreamLost
from pipelines.record.options import RecordOptions
from pipelines.record.recording import RecorderStatus, Recording
from pipelines.record.store import files_of
from pipelines.serve.app import make_app
from pipelines.serve.event_options import EventOptions
from pipelines.serve.service import Service
from tests.pipelines.serve.serving import make_service
from tests.pipelines.serve.test_event_history import events_over_api, told

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def service(tiny: nn.Module, tmp_path: Path) -> Service:
    made = make_service(tiny, tmp_path, events=EventOptions(record=RecordOptions(tmp_path / "recordings")))
    made.told.history.add([told(number, at=time.time()) for number in (1, 2, 3)])
    return made


def recorded(service: Service, number: int, **changes: int) -> Recording:
    recording = Recording(f"{number:016x}", "cam", time.time(), len(CONTENT), 3, 5.25, 20.5)
    recording = replace(recording, **changes)  # type: ignore[arg-type]
    assert service.told.recordings is not None
    for path in files_of(service.told.recordings.folder, recording):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(CONTENT)
    service._publish([recording])
    return recording


def test_events_tell_of_their_recordings_and_videos_are_read_in_ranges(service: Service) -> None:
    one, two = recorded(service, 1), recorded(service, 2, video_bytes=0)
    with TestClient(make_app(service), base_url="http://127.0.0.1") as client:
        found = {event["id"]: event["recording"] for event in events_over_api(client)}
        whole = {"video": True, "picture": True, "before_seconds": 5.25, "seconds": 20.5}
        assert found == {one.event_id: whole, two.event_id: whole | {"video": False}, f"{3:016x}": None}
        video = f"/api/history/{one.event_id}/video"
        answer = client.get(video)
        assert (answer.status_code, answer.content) == (200, CONTENT)
        assert answer.headers["content-type"] == "video/mp4" and answer.headers["accept-ranges"] == "bytes"
        part = client.get(video, headers={"Range": "bytes=100-199"})
        assert (part.status_code, part.content) == (206, CONTENT[100:200])
        assert part.headers["content-range"] == f"bytes 100-199/{len(CONTENT)}"
        assert client.get(video, headers={"Range": f"bytes={len(CONTENT)}-"}).status_code == 416
        picture = client.get(f"/api/history/{two.event_id}/picture")
        assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
        assert client.get(f"/api/history/{two.event_id}/video").status_code == 404
        assert "deleted to make room" in client.get(f"/api/history/{3:016x}/video").json()["detail"]
        for name in ("..%2f..%2fetc%2fpasswd", "..", "0" * 15, "G" * 16, "recordings.sqlite"):
            assert client.get(f"/api/history/{name}/video").status_code in (404, 422), name


def test_clients_are_told_when_a_recording_is_ready(service: Service) -> None:
    service.hub.publish(StreamLost("cam", "the other side ended the stream", "ended", 1.0))
    made = recorded(service, 1)
    _, event = service.hub._histories["cam"].events
    data = json.loads(event.data)
    assert event.kind == "recording" and data["stream"] == "cam" and data["id"] == made.event_id
    assert data["recording"] == made.to_record()


def test_recordings_need_the_token(service: Service) -> None:
    one = recorded(service, 1)
    app = make_app(service, token="secret-token", is_local=False)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        for kind in ("video", "picture"):
            path = f"/api/history/{one.event_id}/{kind}"
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"Authorization": "Bearer secret-token"}).status_code == 200


def test_a_server_says_that_it_cannot_record_and_that_it_can_again(service: Service) -> None:
    with TestClient(make_app(service), base_url="http://127.0.0.1") as client:
        assert client.get("/api/info").json()["recording"] == {"is_recording": True, "reason": None}
        service._publish([RecorderStatus("cam", "there is no room")])
        assert client.get("/api/info").json()["recording"] == {"is_recording": False, "reason": "there is no room"}
        assert "memvit_recording_up 0.0" in client.get("/metrics").text
        assert client.get("/health").status_code == 200
        recorded(service, 1)
        assert client.get("/api/info").json()["recording"]["is_recording"]
        text = client.get("/metrics").text
        assert "memvit_recording_up 1.0" in text and "memvit_recordings_bytes 10243.0" in text
        assert "memvit_recordings_kept 1.0" in text and 'memvit_recordings_total{kind="video"} 1.0' in text
