"""`memvit find` and `memvit list`: what they print, and which videos and intervals they leave out."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import memvit.store
from memvit.events.rules import Rule, Rules
from memvit.store import Library, VideoState
from memvit.store.errors import StoreError
from pipelines.cli.app import app
from pipelines.find_events import events_of_archive
from tests.store.test_find import create


@pytest.fixture(scope="module", params=["people", "clips"])
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Library:
    return memvit.store.open(create(str(tmp_path_factory.mktemp("find") / "a.zarr"), request.param).location)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of which only the states of its videos matter."""
    path = tmp_path_factory.mktemp("list") / "a.zarr"
    archive = create(str(path), "clips")
    for state in archive.videos():
        if state.state == "done":
            archive.put(replace(state, duration_seconds=float(state.id[2:]), persons=int(state.id[2:])))
    return path


def command(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    return result.exit_code, result.stdout, result.stderr


def test_intervals_are_printed_in_three_forms(archive: Library) -> None:
    words = ["find", archive.location, "--action", "sit", "--min-score", 0.7, "--merge-seconds", 2, "--min-seconds", 1]
    records = [found.to_record() for found in archive.find("sit", min_score=0.7, merge_seconds=2, min_seconds=1)]
    code, output, more = command(*words, "--json")
    assert code == 0 and [json.loads(line) for line in output.splitlines()] == records != []
    assert more.strip() == f"{len(records)} intervals"
    code, output, _ = command(*words, "--csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(output)))
    assert rows == [{key: "" if value is None else str(value) for key, value in record.items()} for record in records]
    code, output, _ = command(*words)
    assert code == 0 and len(output.splitlines()) == len(records) and "  up to 0." in output
    assert ("person 3" in output) == bool(archive.provenance.boxes)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name an action with --action"),
        (["--action", "sit", "--json", "--csv"], "exclude each other"),
        (["--action", "sit", "--rules", "r.yaml"], "leave --action and --person out"),
        (["--action", "sit", "--min-score", "2"], "less than or equal to 1"),
    ],
)
def test_wrong_usage_exits_with_2(words: list[str], said: str) -> None:
    code, output, error = command("find", "a.zarr", *words)
    assert (code, output) == (2, "") and said in " ".join(error.split())


def test_damage_is_noted_and_exits_with_1(tmp_path: Path) -> None:
    archive = create(str(tmp_path / "a.zarr"), "people")
    (tmp_path / "a.zarr/videos/v-1/zarr.json").write_text("{")
    code, output, error = command("find", archive.location, "--action", "sit", "--json")
    assert code == 1 and "v-1 is damaged and was not searched" in error
    assert {json.loads(line)["video"] for line in output.splitlines()} == {"v-0", "v-2", "v-3"}


def test_a_reader_that_leaves_early_is_no_error(videos: Path) -> None:
    line = f"{sys.executable} -m pipelines.cli find {videos} --action sit --min-score 0 | head -n 1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True)
    assert done.stdout.startswith("v-0") and "rror" not in done.stderr


def test_questions_to_an_archive_need_no_model(videos: Path) -> None:
    """So they answer at once: torch takes seconds to import."""
    questions = [
        ["find", videos, "--action", "sit"],
        ["similar", videos, "v-3@1"],
        ["list", videos],
        ["info", videos],
        ["export", videos, "--out", videos.parent / "a.csv"],
    ]
    program = f"""
import sys
from pipelines.cli.app import app
for words in {[list(map(str, words)) for words in questions]}:
    assert app(words, standalone_mode=False) in (None, 0), words
print("loaded:", *({{"torch", "torchvision", "ray", "av", "scipy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "loaded:", done.stdout + done.stderr


@pytest.mark.parametrize("block_clips", [1024, 3])
def test_a_rule_finds_what_find_does(block_clips: int, archive: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.find_events.BLOCK_CLIPS", block_clips)
    rule = Rule("seen", actions=("stand", 3), start_score=0.6, merge_seconds=2.0, min_seconds=1.0)
    events = events_of_archive(archive, Rules((rule,)), video="v-[123]")
    ended = [event for event in events if event.state == "end"]
    found = [(event.stream_id, event.person, event.start_seconds, event.end_seconds) for event in ended]
    wanted = archive.find(["stand", "wave"], min_score=0.6, merge_seconds=2.0, min_seconds=1.0, video="v-[123]")
    expected = [(interval.video, interval.person, interval.start_seconds, interval.end_seconds) for interval in wanted]
    assert sorted(found, key=str) == sorted(expected, key=str) != []


def test_rules_about_people_and_places_are_applied(tmp_path: Path) -> None:
    """All boxes end at (0.3, 0.9); so the second zone is empty."""
    archive = create(str(tmp_path / "a.zarr"), "people")
    rules = tmp_path / "rules.yaml"
    text = "rules:\n- {name: crowd, actions: [sit], min_people: 3, zones: [door]}\n- {name: wait, dwell_seconds: 5, "
    text += "zones: [roof]}\nzones:\n  door: {polygon: [[0, 0.8], [1, 0.8], [1, 1], [0, 1]]}\n"
    rules.write_text(text + "  roof: {polygon: [[0, 0], [1, 0], [1, 0.5], [0, 0.5]]}\n")
    code, output, error = command("find", archive.location, "--rules", rules, "--json")
    events = [json.loads(line) for line in output.splitlines()]
    assert code == 0 and {event["rule"] for event in events} == {"crowd"} and f"{len(events)} events" in error
    assert {event["zone"] for event in events} == {"door"} and {event["state"] for event in events} == {"end"}
    assert all(event["peak_box"] == [0.1, 0.1, 0.5, 0.9] for event in events)
    code, told, error = command(
        "events", archive.location, "--rules", rules, "--json", "--out", tmp_path / "told.jsonl"
    )
    ended = [line for line in told.splitlines() if json.loads(line)["state"] == "end"]
    assert code == 0 and ended == output.splitlines() and len(told.splitlines()) > len(ended)
    assert (tmp_path / "told.jsonl").read_text() == told and f"{len(events)} events: crowd" in error
    code, _, error = command("events", archive.location, tmp_path / "x.jsonl", "--rules", rules)
    assert code == 1 and "name one archive, or files of results" in " ".join(error.split())
    with pytest.raises(StoreError, match=r"rule x: the model of this archive knows none of its actions \(jump\)"):
        list(events_of_archive(archive, Rules((Rule("x", actions=("jump",)),))))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["v-0", "v-1", "v-2", "v-3", "w-1", "w-2"]),
        (["--state", "done"], ["v-0", "v-1", "v-2", "v-3"]),
        (["--state", "unfinished"], ["w-2"]),
        (["--video", "w*"], ["w-1", "w-2"]),
        (["--min-seconds", "1", "--max-seconds", "2"], ["v-1", "v-2"]),
        (["--min-persons", "2"], ["v-2", "v-3"]),
    ],
)
def test_videos_are_listed_with_filters(words: list[str], expected: list[str], videos: Path) -> None:
    code, output, error = command("list", videos, "--json", *words)
    assert code == 0 and [json.loads(line)["video"] for line in output.splitlines()] == expected
    assert f"{len(expected)} video" in error


def test_a_list_for_people_says_why_a_video_failed(videos: Path) -> None:
    code, output, _ = command("list", videos)
    lines = output.splitlines()
    assert code == 0 and lines[2] == "done       v-2: 00:02, 40 clips, 2 persons"
    assert lines[4] == "failed     w-1: it is broken"
    assert command("list", videos, "--state", "gone")[0] == 2


def test_a_state_is_listed_as_plain_values(tmp_path: Path) -> None:
    archive = create(str(tmp_path / "a.zarr"), "clips")
    archive.put(VideoState("a", "a.mp4", "done", duration_seconds=2.5, clips=3, people=4, persons=2))
    code, output, _ = command("list", archive.location, "--csv", "--video", "a")
    header, row = output.splitlines()
    assert code == 0 and header == "video,location,state,seconds,clips,people,persons,reason"
    assert row == "a,a.mp4,done,2.5,3,4,2,"
