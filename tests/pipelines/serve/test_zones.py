"""Zones over the API: written into the user's file, taken over without a restart; refusals change nothing."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from torch import nn

from memvit.datasets.long_cue import Scene, write_video
from pipelines.serve.event_options import event_options
from pipelines.serve.reloading import Reloader
from pipelines.serve.server_config import ServerConfig, load_config
from pipelines.serve.zones import zone_file
from tests.pipelines.serve.serving import added, client_of, fail_with, make_service, state_of
from tests.processes import wait_for

CONFIG = """\
# of the house
rules:
  - {name: there, actions: [1], start_score: 0, zones: [door]}  # the whole picture at first
  - {name: long, dwell_seconds: 100}
zones:
  door: {polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}  # drawn later
"""
TOP_LEFT = [[0, 0], [0.1, 0], [0.1, 0.1]]
WHOLE = [[0, 0], [1, 0], [1, 1], [0, 1]]


class House:
    """A server in this process whose configuration has a zone."""

    def __init__(self, tiny: nn.Module, folder: Path) -> None:
        self.file = folder / "server.yaml"
        self.file.write_text(CONFIG)
        write_video(Scene(seed=0, seconds=4, width=96, height=64, frames_per_second=12), folder / "a.mp4")
        self.service = make_service(tiny, folder, events=self._read()[1])
        self.service.reload = Reloader(self.service, ServerConfig(), self._read)
        self.service.zone_file = zone_file(None, self.file, self.service.reload)
        self.client: TestClient = client_of(self.service)

    def _read(self) -> Any:
        config = load_config(self.file, {})
        return config, event_options(config, None, None, None, None)

    def events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.get("/api/history", params={"rule": "there"}).json()["events"]
        return found

    def put(self, name: str, polygon: Any, **more: Any) -> Any:
        return self.client.put(f"/api/zones/{name}", json={"polygon": polygon, **more})

    def refusal(self, name: str, polygon: Any, **more: Any) -> tuple[int, str]:
        answer = self.put(name, polygon, **more)
        return answer.status_code, str(answer.json()["detail"])


@pytest.fixture
def house(tiny: nn.Module, tmp_path: Path) -> Iterator[House]:
    made = House(tiny, tmp_path)
    with made.client:
        yield made


def test_events_follow_a_zone_that_is_drawn_and_the_memory_of_streams_stays(house: House) -> None:
    """The only box is the whole frame, so its foot point is the middle of the lower edge."""
    added(house.client, house.file.parent / "a.mp4", id="a", realtime=True)
    wait_for(lambda: bool(house.events()), 30)
    (first,) = house.events()
    answer = house.put("door", TOP_LEFT)
    assert answer.status_code == 200 and answer.json()["rules"] == ["there"]
    wait_for(lambda: house.events()[0]["state"] == "end", 30)
    assert house.put("door", WHOLE, streams=["other-*"]).json()["on_streams"] == []
    at = state_of(house.client, "a")["seconds"]
    wait_for(lambda: state_of(house.client, "a")["seconds"] > at + 1, 30)
    assert [event["id"] for event in house.events()] == [first["id"]], "nobody is in the zone"
    assert house.put("door", WHOLE, streams=["a*"]).json()["on_streams"] == ["a"]
    wait_for(lambda: len(house.events()) == 2, 30)
    now = state_of(house.client, "a")
    assert now["session"] == 0 and now["memory_reach_seconds"] > 0, "no new session"
    assert house.file.read_text() == CONFIG.replace(
        "{polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}",
        '{streams: ["a*"], polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}',
    ), "comments stay"


def test_zones_are_added_listed_and_deleted(house: House) -> None:
    answer = house.put("the yard", [[0.123456, 0], [1, 0], [1, 1]], streams=["cam-*"])
    assert answer.status_code == 201
    yard = {"name": "the yard", "polygon": [[0.1235, 0], [1, 0], [1, 1]], "streams": ["cam-*"]}
    assert answer.json() == yard | {"rules": [], "on_streams": []}
    listed = house.client.get("/api/zones").json()
    assert [zone["name"] for zone in listed["zones"]] == ["door", "the yard"] and listed["problem"] is None
    assert house.client.get("/api/zones/the%20yard").json() == answer.json()
    assert house.client.get("/api/zones/gate").status_code == 404
    assert house.client.delete("/api/zones/gate").status_code == 404
    assert house.client.delete("/api/zones/the%20yard").status_code == 204
    refused = house.client.delete("/api/zones/door")
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "rule there needs zone door; take it out there first",
    )
    assert house.file.read_text() == CONFIG


@pytest.mark.parametrize(
    ("name", "polygon", "more"),
    [
        ("door", [[0, 0], [1, 0]], {}),
        ("door", [[0, 0], [1, 0], [1, 2]], {}),
        ("door", [[0, 0], [1, 0], [1, "x"]], {}),
        ("door", WHOLE, {"streams": [""]}),
        ("door", WHOLE, {"streams": ["\u0085"]}),
        ("a%2Fb", WHOLE, {}),
        ("%20", WHOLE, {}),
        ("a%0Ab", WHOLE, {}),
        ("a%C2%85b", WHOLE, {}),
        ("x" * 65, WHOLE, {}),
    ],
)
def test_what_is_no_zone_is_refused(house: House, name: str, polygon: Any, more: dict[str, Any]) -> None:
    code, detail = house.refusal(name, polygon, **more)
    assert code in (400, 404, 422) and detail
    assert house.file.read_text() == CONFIG and len(house.client.get("/api/zones").json()["zones"]) == 1


def test_what_cannot_be_written_or_taken_over_changes_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "replace", fail_with(OSError(errno.EROFS, "Read-only file system")))
    code, detail = house.refusal("door", TOP_LEFT)
    assert (
        code == 409 and "zones cannot be saved there (Read-only file system); make it and its folder writable" in detail
    )
    monkeypatch.undo()
    assert [path.name for path in house.file.parent.glob("*.part")] == []
    wrong = CONFIG + "history: {folder: elsewhere}\n"
    house.file.write_text(wrong)
    assert house.refusal("door", TOP_LEFT) == (400, "the folder and days of the history change with a restart only")
    assert house.file.read_text() == wrong, "as it was"
    house.file.write_text("rules: [")
    code, detail = house.refusal("door", TOP_LEFT)
    assert code == 400 and "server.yaml:1: this is not valid YAML" in detail
    house.file.unlink()
    assert house.refusal("door", TOP_LEFT)[0] == 409
    (zone,) = house.client.get("/api/zones").json()["zones"]
    assert zone["polygon"] == WHOLE


def test_without_a_file_nothing_is_saved(tiny: nn.Module, tmp_path: Path) -> None:
    with client_of(make_service(tiny, tmp_path)) as client:
        listed = client.get("/api/zones").json()
        assert listed["zones"] == [] and "start it with --rules or --config" in listed["problem"]
        answers = (client.put("/api/zones/a", json={"polygon": WHOLE}), client.delete("/api/zones/a"))
        assert [answer.status_code for answer in answers] == [409, 409]
        assert answers[0].json()["detail"] == listed["problem"]


def test_other_sites_may_not_draw(house: House) -> None:
    headers = {"Origin": "http://elsewhere.example"}
    answers = (
        house.client.put("/api/zones/door", json={"polygon": TOP_LEFT}, headers=headers),
        house.client.delete("/api/zones/door", headers=headers),
    )
    assert [answer.status_code for answer in answers] == [403, 403]


def test_zones_may_be_there_before_the_rules(house: House) -> None:
    house.file.write_text("zones: {door: {polygon: [[0, 0], [1, 0], [1, 1]]}}")
    assert house.put("yard", WHOLE).status_code == 201
    assert house.client.delete("/api/zones/door").status_code == 204
    assert house.file.read_text() == "zones: {yard: {polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}"


def test_a_link_stays_one_and_the_mode_stays(house: House) -> None:
    target = house.file.rename(house.file.with_name("target.yaml"))
    target.chmod(0o640)
    house.file.symlink_to(target)
    assert house.put("yard", WHOLE).status_code == 201
    assert house.file.is_symlink() and "yard" in target.read_text() and target.stat().st_mode & 0o777 == 0o640
