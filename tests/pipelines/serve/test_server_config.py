"""The server's configuration in one file, and events on their way to a receiver while servers come and go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from torch import nn

from memvit.datasets.long_cue import Scene, write_video
from memvit.events.rules_file import parse_rules
from memvit.types import MemvitError
from pipelines.record.options import RecordOptions
from pipelines.serve.event_options import EventOptions, event_options
from pipelines.serve.server_config import ServerConfig, SinkConfig, StreamConfig, load_config
from pipelines.serve.sinks.delivery import RetryPolicy
from pipelines.serve.sinks.sink import SinkFilter
from tests.pipelines.serve.serving import added, client_of, make_service, state_of
from tests.pipelines.serve.sinks.receivers import Receiver
from tests.processes import wait_for
from tests.test_docs import FENCE, ROOT

WHOLE = """\
streams:
  - rtsp://camera-1/main
  - {source: films/a.mp4, id: a, realtime: true}
rules:
  - {name: waving, actions: [wave]}
sinks:
  - name: ops
    webhook: https://example.com/events?x=1
    secret_env: HOOK_SECRET
    rules: [wav*]
    states: [new]
    give_up_seconds: 60
  - name: home
    mqtt: broker.local:1884
    topic: house
    username: memvit
    password_env: MQTT_PASSWORD
    tls: true
  - {name: lines, file: alerts.jsonl}
history: {folder: /var/lib/memvit, days: 7}
record: {folder: /var/lib/memvit/recordings, before_seconds: 3, max_seconds: 60, gigabytes: 2.5}
"""
SECRETS = {"HOOK_SECRET": "secret-1", "MQTT_PASSWORD": "secret-2"}


def loaded(text: str, folder: Path) -> ServerConfig:
    path = folder / "server.yaml"
    path.write_text(text)
    return load_config(path, SECRETS)


def test_every_section_is_read(tmp_path: Path) -> None:
    found = loaded(WHOLE, tmp_path)
    assert found.streams == (StreamConfig("rtsp://camera-1/main"), StreamConfig("films/a.mp4", "a", True))
    assert found.rules is not None and found.rules.rules[0].name == "waving"
    assert (found.history, found.history_days) == (Path("/var/lib/memvit"), 7)
    folder = Path("/var/lib/memvit/recordings")
    assert found.record == RecordOptions(folder, before_seconds=3, max_seconds=60, gigabytes=2.5)
    ops, home, lines = found.sinks
    assert (ops.kind, ops.target, ops.secret) == ("webhook", "https://example.com/events?x=1", "secret-1")
    assert ops.wanted == SinkFilter(rules=("wav*",), states=("new",)) and ops.retry.give_up_seconds == 60
    assert (home.target, home.topic, home.username, home.secret) == ("broker.local:1884", "house", "memvit", "secret-2")
    assert loaded("heads: [fridge.safetensors, door.safetensors]\n", tmp_path).heads == (
        Path("fridge.safetensors"),
        Path("door.safetensors"),
    )
    assert home.tls and (lines.kind, lines.target) == ("file", "alerts.jsonl")
    assert not any(secret in repr(found) for secret in ("secret-1", "secret-2", "example.com"))


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("  - rtsp://camera-1/main", "  - {id: a}", 2, "has no `source`"),
        ("id: a", "id: ../a", 3, "an id has 1 to 64"),
        ("realtime: true", "realtime: maybe", 3, "must be true or false"),
        ("actions: [wave]", "actions: []", 5, "needs `actions`"),
        ("https://example.com/events?x=1", "ftp://example.com", 8, "begins with http:// or https://"),
        ("    webhook: https://example.com/events?x=1\n", "", 7, "one of webhook, mqtt, file"),
        ("states: [new]", "states: [begun]", 11, "begun is no state"),
        ("secret_env: HOOK_SECRET", "secret_env: NONE", 9, "the variable NONE is not set"),
        ("secret_env: HOOK_SECRET", "secret: hidden", 9, "no key `secret`"),
        ("secret_env: HOOK_SECRET", "tls: true", 9, "a sink of kind webhook has no key `tls`"),
        ("broker.local:1884", "broker.local:port", 14, "HOST or HOST:PORT"),
        ("name: home", "name: ops", 13, "two sinks with the name ops"),
        ("days: 7", "days: -1", 20, "of 0 or more"),
        ("history:", "histroy:", 20, "do you mean `history`?"),
        ("before_seconds: 3", "before_seconds: -3", 21, "of 0 or more"),
        ("gigabytes: 2.5", "gigabyte: 2.5", 21, "do you mean `gigabytes`?"),
        ("folder: /var/lib/memvit/recordings, ", "", 21, "record needs a `folder`"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(old: str, new: str, line: int, words: str, tmp_path: Path) -> None:
    assert old in WHOLE
    with pytest.raises(MemvitError) as error:
        loaded(WHOLE.replace(old, new, 1), tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'server.yaml'}:{line}: ") and words in str(error.value)
    assert "hidden" not in str(error.value)


def test_the_command_line_and_the_file_must_fit(tmp_path: Path) -> None:
    config = loaded(WHOLE, tmp_path)
    options = event_options(config, None, None, None, None)
    assert (options.history_days, options.outbox) == (7, Path("/var/lib/memvit/outbox.sqlite"))
    with pytest.raises(MemvitError, match="there are rules or zones in the configuration, too"):
        event_options(config, tmp_path / "rules.yaml", None, None, None)
    without_folder = loaded(WHOLE.partition("history:")[0], tmp_path)
    with pytest.raises(MemvitError, match="sinks need --history or --state"):
        event_options(without_folder, None, None, None, None)
    assert event_options(without_folder, None, None, None, Path("state")).outbox == Path("state/outbox.sqlite")


def test_the_configuration_of_the_page_is_read(tmp_path: Path) -> None:
    page = (ROOT / "docs/events.md").read_text()
    (example,) = [body for language, body in FENCE.findall(page) if language == "yaml" and "sinks:" in body]
    (tmp_path / "server.yaml").write_text(example)
    secrets = {"MEMVIT_WEBHOOK_SECRET": "x", "MEMVIT_MQTT_PASSWORD": "y"}
    assert len(load_config(tmp_path / "server.yaml", secrets).sinks) == 3


RULES = "rules: [{name: there, dwell_seconds: 2}, {name: high, actions: [1, 2, 3, 4, 5, 6], merge_seconds: 1}]"


def test_every_event_reaches_a_receiver_that_fails_over_restarts_of_the_server(tiny: nn.Module, tmp_path: Path) -> None:
    """Three servers one after the other, each stopped in mid-stream, and a receiver that fails in every way."""
    for seed, name in enumerate(("a", "b")):
        scene = Scene(seed=seed, seconds=12, width=96, height=64, frames_per_second=12)
        write_video(scene, tmp_path / f"{name}.mp4")
    receiver = Receiver([500, 200, "hang up", 200, 503])
    states = ("new", "update", "end")
    retry = RetryPolicy(first_seconds=0.02, longest_seconds=0.1)
    sink = SinkConfig("hook", "webhook", receiver.url, SinkFilter(states=states), retry, timeout_seconds=0.5)
    options = EventOptions(parse_rules(RULES), tmp_path / "history", 1e6, (sink,), tmp_path / "outbox.sqlite")

    def told(client: TestClient) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.get("/api/history?limit=1000").json()["events"]
        return found

    def is_over(status: dict[str, Any]) -> bool:
        return bool(status["state"] == "ended")

    def serve(until: Any) -> list[dict[str, Any]]:
        service = make_service(tiny, tmp_path, events=options, state=tmp_path / "state", save_every_seconds=0.05)
        with client_of(service) as client:
            for name in {"a", "b"} - {stream["id"] for stream in client.get("/api/streams").json()["streams"]}:
                added(client, tmp_path / f"{name}.mp4", id=name)
            wait_for(lambda: all(until(state_of(client, name)) for name in "ab"), 60)
            # The state of a stream is known a moment before its last events are told.
            wait_for(lambda: until is not is_over or all(event["state"] == "end" for event in told(client)), 20)
            found = told(client)
            assert client.get("/api/dead-letters").json() == {"messages": []}
            assert client.post("/api/dead-letters/send").json() == {"messages": 0}
        return found

    serve(lambda status: (status["seconds"] or 0) >= 3)
    receiver.answers += ["hang up", 500]
    serve(lambda status: (status["seconds"] or 0) >= 7)
    found = serve(is_over)
    expected = sorted(f"{event['id']}-{number}" for event in found for number in range(1, event["number"] + 1))
    if len(receiver.taken) < len(expected):  # what waited when the last server was stopped
        serve(lambda status: len(receiver.taken) >= len(expected))
    assert sorted(one["key"] for one in receiver.taken) == expected
    assert {event["stream"] for event in found} == {"a", "b"} and len(expected) > 20
    for name in "ab":
        ended = [one["end_seconds"] for one in receiver.taken if one["stream"] == name]
        assert len(ended) > 5
    receiver.close()
