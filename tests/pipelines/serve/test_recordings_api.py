"""Recordings over the API: with ranges, behind the token, and of events only."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace
from pathlib import Path

import av
import pytest
from fastapi.testclient import TestClient
from torch import nn

from memvit.datasets.long_cue import Scene, write_video
from memvit.events.rules_file import parse_rules
from memvit.streams.events import StreamLost
from pipelines.record.options import RecordOptions
from pipelines.record.recording import RecorderStatus, Recording
from pipelines.record.store import files_of
from pipelines.serve.app import make_app
from pipelines.serve.event_options import EventOptions
from pipelines.serve.resume import ResumeState
from pipelines.serve.service import Service
from pipelines.serve.state import SavedStream, StateFolder
from pipelines.serve.told_events import body_with_links
from tests.pipelines.serve.serving import added, client_of, make_service
from tests.pipelines.serve.test_event_history import events_over_api, told
from tests.processes import wait_for
from tests.video import make

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


def test_events_are_recorded_and_limits_are_taken_over(tiny: nn.Module, tmp_path: Path) -> None:
    """The whole way: a file that is played like a camera, rules, a video that can be decoded, and its end."""
    write_video(Scene(seed=1, seconds=6, width=96, height=64, frames_per_second=12), tmp_path / "street.mp4")
    record = RecordOptions(tmp_path / "recordings", before_seconds=1, after_seconds=1)
    rules = parse_rules("rules: [{name: there, dwell_seconds: 1}]")
    service = make_service(tiny, tmp_path, events=EventOptions(rules, record=record))
    with client_of(service) as client:
        added(client, tmp_path / "street.mp4", id="a")
        wait_for(lambda: bool(events_over_api(client)) and events_over_api(client)[0]["recording"] is not None, 30)
        (event,) = events_over_api(client)
        assert event["recording"]["seconds"] == pytest.approx(6.0, abs=0.1)
        with av.open(io.BytesIO(client.get(f"/api/history/{event['id']}/video").content)) as video:
            assert sum(1 for _ in video.decode(video=0)) == 72
        assert client.get(f"/api/history/{event['id']}/picture").content[:2] == b"\xff\xd8"
        (sent,) = [one for one in service.hub._histories["a"].events if one.kind == "recording"]
        assert json.loads(sent.data)["recording"] == event["recording"]
        service.change_events(EventOptions(rules, record=replace(record, gigabytes=0.0)))
        assert events_over_api(client)[0]["recording"] is None
        assert client.get(f"/api/history/{event['id']}/video").status_code == 404


def test_after_a_restart_a_file_is_read_from_where_recordings_begin(tiny: nn.Module, tmp_path: Path) -> None:
    """The first event after the restart needs packets from before it."""
    film = make.write(tmp_path / "street.mp4", make.busy(30 * 4, 96, 64), rate=4, g="4")
    resume_state = ResumeState(last_centre_seconds=24.0, ahead_seconds=2.0, last_frame_unix=time.time(), run="before")
    saved = SavedStream("a", "other weights", {"source": str(film), "id": "a"}, resume_state)
    StateFolder(tmp_path / "state").save(saved)
    record = RecordOptions(tmp_path / "recordings", before_seconds=5, after_seconds=1)
    events = EventOptions(parse_rules("rules: [{name: there, dwell_seconds: 1}]"), record=record)
    with client_of(make_service(tiny, tmp_path, events=events, state=tmp_path / "state")) as client:
        wait_for(lambda: bool(events_over_api(client)) and events_over_api(client)[0]["recording"] is not None, 30)
        (event,) = events_over_api(client)
    assert event["start_seconds"] == 25.0 and event["recording"]["before_seconds"] >= 5
    assert event["recording"]["seconds"] == pytest.approx(5 + event["recording"]["before_seconds"], abs=0.3)


def test_sinks_get_the_paths_of_recordings() -> None:
    body = json.loads(body_with_links(told(1)))
    assert body["video"] == f"/api/history/{1:016x}/video" and body["rule"] == "wave"


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
