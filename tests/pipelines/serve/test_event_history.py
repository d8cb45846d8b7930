"""Events of the server: told as they happen, kept, asked for; with the same ids after a restart."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn
from typer.testing import CliRunner

from memvit.datasets.long_cue import Scene, write_video
from memvit.events.event import Event
from memvit.events.rules_file import parse_rules
from memvit.types import MemvitError
from pipelines.cli.app import app
from pipelines.serve.event_history import MAX_EVENTS_IN_MEMORY, PRUNE_EVERY, EventHistory, EventQuery
from pipelines.serve.event_options import EventOptions
from pipelines.serve.state import StateFolder
from tests.pipelines.serve.serving import added, client_of, make_service, state_of
from tests.processes import wait_for

RULES = """\
rules:
  - {name: high, actions: [1, 2, 3, 4, 5, 6, 7, 8], start_score: 0.5, keep_score: 0.4, merge_seconds: 1}
  - {name: there, dwell_seconds: 3}
"""


def told(number: int, *, at: float = 1_777_000_000.0, times: int = 1, person: int | None = 3) -> Event:
    return Event(
        f"{number:016x}", "wave" if number % 2 else "walk", f"cam-{number % 3}", person, "hand wave", "new", 1.0, 2.0,
        at + number, at + number + 1, 0.9, 0.8, None, times, 1.5, (0.0, 0.0, 1.0, 1.0),
    )  # fmt: skip


def numbers(records: list[dict[str, Any]]) -> list[int]:
    return [int(record["id"], 16) for record in records]


def test_events_are_found_newest_first_by_every_part(tmp_path: Path) -> None:
    history = EventHistory(tmp_path, days=1e6)
    history.add([told(number, person=number % 4 or None) for number in range(12)])
    find: Callable[..., list[int]] = lambda **query: numbers(history.find(EventQuery(**query), 100)[0])  # noqa: E731
    assert find() == list(range(11, -1, -1))
    assert find(stream="cam-1") == [10, 7, 4, 1] and find(stream="cam-1", rule="wave") == [7, 1]
    assert find(person=3) == [11, 7, 3] and find(action="hand") == []
    assert find(from_unix=1_777_000_003, to_unix=1_777_000_005) == [4, 3]
    pages, cursor = [], None
    while True:
        found, cursor = history.find(EventQuery(), 5, cursor)
        pages.append(numbers(found))
        if cursor is None:
            break
    assert pages == [[11, 10, 9, 8, 7], [6, 5, 4, 3, 2], [1, 0]]
    history.close()
    again = EventHistory(tmp_path, days=1e6)
    assert len(again.find(EventQuery(), 100)[0]) == 12
    again.close()


def test_what_was_told_later_stays() -> None:
    history = EventHistory(None, days=1)
    history.add([told(1, times=1), told(1, times=2)])
    history.add([replace(told(1, times=1), end_seconds=9.0)])  # told again after a restart
    (record,), _ = history.find(EventQuery(), 10)
    assert (record["number"], record["end_seconds"]) == (2, 2.0)


def test_old_events_are_deleted(tmp_path: Path) -> None:
    kept = EventHistory(tmp_path, days=1)
    kept.add([told(1, at=time.time() - 2 * 86400), told(2, at=time.time())])
    assert numbers(kept.find(EventQuery(), 10)[0]) == [2]
    kept.close()
    in_memory = EventHistory(None, days=1)
    for _ in range(PRUNE_EVERY + 1):
        in_memory.add([])
    in_memory._writes = 0
    in_memory.add([told(number) for number in range(MAX_EVENTS_IN_MEMORY + 50)])
    assert len(in_memory.find(EventQuery(), MAX_EVENTS_IN_MEMORY + 50)[0]) == MAX_EVENTS_IN_MEMORY


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MemvitError, match="events cannot be kept there"):
        EventHistory(tmp_path / "file", days=1)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "events.sqlite").write_text("this is no database " * 100)
    with pytest.raises(MemvitError, match="events cannot be kept there"):
        EventHistory(tmp_path / "bad", days=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("offered")
    write_video(Scene(seed=1, seconds=6, width=96, height=64, frames_per_second=12), made / "street.mp4")
    write_video(Scene(seed=2, seconds=30, width=96, height=64, frames_per_second=12), made / "long.mp4")
    return made


def events_over_api(client: Any, **query: Any) -> list[dict[str, Any]]:
    answer = client.get("/api/history", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["events"]
    return found


def test_events_are_told_over_the_api(tiny: nn.Module, folder: Path) -> None:
    service = make_service(tiny, folder, events=EventOptions(parse_rules(RULES)))
    with client_of(service) as client:
        added(client, folder / "street.mp4", id="a")
        wait_for(lambda: any(event["state"] == "end" for event in events_over_api(client, rule="there")), 30)
        (there,) = events_over_api(client, rule="there")
        assert (there["start_seconds"], there["end_seconds"], there["stream"]) == (0, 5, "a")
        sent = [event for event in service.hub._histories["a"].events if event.kind == "event"]
        states = [json.loads(event.data)["state"] for event in sent if '"rule": "there"' in event.data]
        assert states == ["new", "update", "update", "end"]
        rows = list(csv.DictReader(client.get("/api/history?format=csv").text.splitlines()))
        assert len(rows) == len(events_over_api(client)) and rows[0]["stream"] == "a"
        assert events_over_api(client, stream="b") == []
        assert 'memvit_events_total{rule="there",stream="a"} 1.0' in client.get("/metrics").text
        for wrong in ("from=noon", "cursor=x", "limit=0", "person=0", "format=xml", "stream=/"):
            assert client.get(f"/api/history?{wrong}").status_code in (400, 422), wrong


def test_removing_a_stream_ends_its_events(tiny: nn.Module, folder: Path) -> None:
    service = make_service(tiny, folder, events=EventOptions(parse_rules("rules: [{name: there, dwell_seconds: 1}]")))
    with client_of(service) as client:
        added(client, folder / "street.mp4", id="a", realtime=True)
        wait_for(lambda: bool(events_over_api(client)), 30)
        assert client.delete("/api/streams/a").status_code == 204
        assert [event["state"] for event in events_over_api(client)] == ["end"]
        added(client, folder / "street.mp4", id="a", realtime=True)
        wait_for(lambda: len(events_over_api(client)) == 2, 30)  # another run has another id


def test_a_server_that_starts_from_a_saved_state_tells_the_same_events_with_the_same_ids(
    tiny: nn.Module, folder: Path, tmp_path: Path
) -> None:
    """What is on disk in mid-stream is what a power cut would leave."""

    def service(name: str) -> Any:
        options = EventOptions(parse_rules(RULES), tmp_path / name / "history", 1e6)
        return make_service(tiny, folder, events=options, state=tmp_path / name / "state", save_every_seconds=0.05)

    def finished(client: Any) -> list[dict[str, Any]]:
        wait_for(lambda: state_of(client, "a")["state"] == "ended", 60)
        # The state of a stream is known a moment before its last events are told.
        wait_for(lambda: all(event["state"] == "end" for event in events_over_api(client, limit=1000)), 20)
        return events_over_api(client, limit=1000)

    with client_of(service("first")) as client:
        added(client, folder / "long.mp4", id="a")
        wait_for(lambda: (state_of(client, "a")["seconds"] or 0) >= 5, 30)
        shutil.copytree(tmp_path / "first" / "state", tmp_path / "second" / "state")
        whole = finished(client)
    (saved,) = StateFolder(tmp_path / "second" / "state").load()[0]
    assert saved.resume_state.events is not None and saved.resume_state.events["open"]
    with client_of(service("second")) as client:
        found = finished(client)
    by_id = {event["id"]: event for event in whole}
    assert found and all(by_id[event["id"]] == event for event in found)
    assert {event["id"] for event in found} >= {event["id"] for event in whole if event["end_seconds"] > 25}


@pytest.mark.slow
def test_a_killed_server_tells_the_events_of_an_uninterrupted_run(folder: Path, tmp_path: Path) -> None:
    """SIGKILL in mid-stream: the file goes on, and so does the event that was open."""
    from tests.pipelines.serve.test_serve import TINY, Server

    (tmp_path / "rules.yaml").write_text(RULES)
    rules = ("--rules", tmp_path / "rules.yaml")
    words = ("--allow-folder", folder, "--state", tmp_path / "state", "--save-every", 0.1, *rules)
    first = Server(*words, "--history", tmp_path / "history")
    added(first.client, folder / "long.mp4", id="long")
    wait_for(lambda: (state_of(first.client, "long")["seconds"] or 0) >= 8, 30)
    first.command.kill()
    second = Server(*words, "--history", tmp_path / "history")
    wait_for(lambda: state_of(second.client, "long")["state"] == "ended", 60)
    wait_for(lambda: all(event["state"] == "end" for event in events_over_api(second.client, limit=1000)), 20)
    found = events_over_api(second.client, limit=1000)
    second.command.send(signal.SIGTERM)
    assert second.command.finish(20)[0] == 0

    watched = ["watch", folder / "long.mp4", *TINY, *rules, "--out", tmp_path / "watch"]
    assert CliRunner().invoke(app, [str(word) for word in watched]).exit_code == 0
    lines = (tmp_path / "watch" / "events.jsonl").read_text().splitlines()
    whole = [event for event in map(json.loads, lines) if event["state"] == "end"]
    assert in_order(found) == in_order(whole)
    (there,) = [event for event in found if event["rule"] == "there"]
    assert (there["start_seconds"], there["end_seconds"], there["number"]) == (0, 29, 28)


def in_order(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By rule and time, without the ids, in which the time at which the stream was added has a part."""
    bare = [{key: value for key, value in event.items() if key != "id"} for event in events]
    return sorted(bare, key=lambda event: (event["rule"], event["start_seconds"]))


def test_results_are_kept_beside_events_and_other_rules_apply_to_them(
    tiny: nn.Module, folder: Path, tmp_path: Path
) -> None:
    service = make_service(tiny, folder, events=EventOptions(None, tmp_path / "history"))
    with client_of(service) as client:
        added(client, folder / "street.mp4", id="a")
        wait_for(lambda: state_of(client, "a")["seconds"] == 5, 30)
    (tmp_path / "rules.yaml").write_text(RULES)
    (path,) = (tmp_path / "history").glob("results-*.jsonl")
    found = CliRunner().invoke(app, ["events", str(path), "--rules", str(tmp_path / "rules.yaml"), "--json"])
    ended = [json.loads(line) for line in found.stdout.splitlines() if '"end"' in line]
    assert ("there", 0, 5) in [(one["rule"], one["start_seconds"], one["end_seconds"]) for one in ended]
