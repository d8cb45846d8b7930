"""A changed configuration is taken over without a restart, and without touching what stays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from torch import nn

from memvit.datasets.long_cue import Scene, write_video
from memvit.engine.engine import Engine
from memvit.engine.settings import model_identity
from memvit.models import MODELS
from memvit.teaching import Head, save_head
from memvit.types import MemvitError
from pipelines.serve.event_options import NO_EVENTS, event_options
from pipelines.serve.reloading import Reloader
from pipelines.serve.served_heads import ServedHeads
from pipelines.serve.server_config import load_config
from pipelines.serve.service import Service
from tests.pipelines.serve.serving import added, client_of, make_service, state_of
from tests.pipelines.serve.sinks.receivers import Receiver
from tests.processes import wait_for

FIRST = """\
rules: [{name: there, dwell_seconds: 1}, {name: gone, dwell_seconds: 1}]
streams: [{source: a.mp4, id: a, realtime: true}]
"""


class Running:
    """A server in this process, and its configuration."""

    def __init__(self, tiny: nn.Module, folder: Path) -> None:
        self._folder = folder
        self.write(FIRST)
        config, events = self._read()
        self.service: Service = make_service(tiny, folder, events=events)
        self.service.reload = Reloader(self.service, config, self._read)
        self.service.add_initial_streams([], realtime=False, configured=config.streams)
        self.client: TestClient = client_of(self.service)

    def write(self, text: str) -> None:
        text = text.replace("source: ", f"source: {self._folder}/")
        (self._folder / "server.yaml").write_text(f"{text}\nhistory: {{folder: '{self._folder / 'history'}'}}\n")

    def _read(self) -> Any:
        config = load_config(self._folder / "server.yaml", {})
        return config, event_options(config, None, None, None, None)

    def reload(self, text: str) -> tuple[int, str]:
        self.write(text)
        answer = self.client.post("/api/reload")
        return answer.status_code, answer.json()["detail"]

    def events(self, **query: str) -> dict[str, str]:
        """Rule → state."""
        found = self.client.get("/api/history", params=query).json()["events"]
        return {event["rule"]: event["state"] for event in found}


@pytest.fixture
def running(tiny: nn.Module, tmp_path: Path) -> Iterator[Running]:
    for seed, name in enumerate("ab"):
        scene = Scene(seed=seed, seconds=4, width=96, height=64, frames_per_second=12)
        write_video(scene, tmp_path / f"{name}.mp4")
    made = Running(tiny, tmp_path)
    with made.client:
        wait_for(lambda: len(made.events()) == 2, 30)
        yield made


def test_rules_streams_and_sinks_change_and_what_stays_is_not_disturbed(running: Running) -> None:
    (there,) = [e for e in running.client.get("/api/history").json()["events"] if e["rule"] == "there"]
    added(running.client, running._folder / "a.mp4", id="of-a-client", realtime=True)
    receiver = Receiver()
    code, detail = running.reload(
        "rules: [{name: there, dwell_seconds: 1}, {name: fresh, dwell_seconds: 1}]\n"
        "streams: [{source: a.mp4, id: a, realtime: true}, {source: b.mp4, id: b, realtime: true}]\n"
        f"sinks: [{{name: hook, webhook: '{receiver.url}', rules: [fresh]}}]"
    )
    assert (code, detail) == (200, "2 rules, 1 sinks; 1 streams were added and 0 removed")
    assert running.events(stream="a")["gone"] == "end"
    wait_for(lambda: "fresh" in running.events(stream="a") and "there" in running.events(stream="b"), 30)
    wait_for(lambda: bool(receiver.taken), 30)
    assert {one["rule"] for one in receiver.taken} == {"fresh"}
    assert running.client.get("/api/info").json()["rules"] == ["there", "fresh"]
    going_on = running.client.get("/api/history", params={"stream": "a", "rule": "there"}).json()["events"]
    assert [event["id"] for event in going_on] == [there["id"]] and state_of(running.client, "a")["session"] == 0

    code, detail = running.reload("streams: [{source: b.mp4, id: b, realtime: true}]")
    assert (code, detail) == (200, "0 rules, 0 sinks; 0 streams were added and 1 removed")
    assert [one["id"] for one in running.client.get("/api/streams").json()["streams"]] == ["of-a-client", "b"]
    assert set(running.events().values()) == {"end"}
    receiver.close()


def test_a_mistake_changes_nothing(running: Running) -> None:
    mistakes = {
        "rules: [{name: there}]": "server.yaml:1: rule there needs `actions`",
        "rules: [{name: there, actions: [juggle]}]": "the model knows none of its actions (juggle)",
        FIRST + "history: {}": "`history` is there twice",
    }
    for text, words in mistakes.items():
        code, detail = running.reload(text)
        assert code == 400 and words in detail
        assert running.client.get("/api/info").json()["rules"] == []  # as it was given at the start
        assert set(running.events().values()) <= {"new", "update"}


def test_places_change_with_a_restart_only(running: Running) -> None:
    running.write(FIRST)
    path = running._folder / "server.yaml"
    whole = path.read_text()
    for text, words in (
        (whole.replace("/history'", "/elsewhere'"), "the folder and days of the history change with a restart only"),
        (whole + f"record: {{folder: '{running._folder}/recordings'}}\n", "changes with a restart only"),
    ):
        path.write_text(text)
        answer = running.client.post("/api/reload")
        assert answer.status_code == 400 and words in answer.json()["detail"]
    assert not (running._folder / "elsewhere").exists() and set(running.events()) == {"there", "gone"}


def test_heads_are_those_of_the_start(tiny: nn.Module, tmp_path: Path) -> None:
    """Another list, a head that was taught anew, and one of another model are refused, each with its sentence."""
    engine = Engine(tiny, MODELS["memvit_tiny_8x4"].preprocessing)
    model, path, other = model_identity(engine, "tiny"), tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    head = Head("opens fridge", "people", model, np.ones(96, np.float32), 0.0)
    config = f"heads: ['{path}']"
    for one in (path, other):
        save_head(one, head)
    (tmp_path / "server.yaml").write_text(config)

    def read() -> Any:
        return load_config(tmp_path / "server.yaml", {}), NO_EVENTS

    service = make_service(tiny, tmp_path, heads=ServedHeads(model, (path, other), (head, head)))
    reload = Reloader(service, read()[0], read)
    service.add_initial_streams([], realtime=False)
    with client_of(service):
        assert reload().startswith("0 rules")
        (tmp_path / "server.yaml").write_text(config.replace(str(path), str(other)))
        with pytest.raises(MemvitError, match=r"^heads change with a restart only"):
            reload()
        (tmp_path / "server.yaml").write_text(config)
        for changed, words in (
            (replace(head, bias=1.0), "this head was taught anew; heads change with a restart only"),
            (replace(head, model=replace(model, weights_sha256="b" * 64)), "tiny with other weights; teach it again"),
        ):
            for one in (path, other):
                save_head(one, changed)
                with pytest.raises(MemvitError, match=f"^{re.escape(str(one))}: .*{words}"):
                    reload()
                save_head(one, head)
        path.unlink()
        with pytest.raises(MemvitError, match="there is no such head"):
            reload()


def test_a_server_without_a_configuration_has_nothing_to_reload(tiny: nn.Module, tmp_path: Path) -> None:
    service = make_service(tiny, tmp_path)
    with pytest.raises(MemvitError, match="started without --config"):
        service.reload()
