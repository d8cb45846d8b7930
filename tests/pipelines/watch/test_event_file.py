"""`memvit watch --rules` writes the events that `memvit events` finds in its results, as they happen."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from memvit.datasets.long_cue import Scene, write_video
from memvit.events.event import Event
from memvit.events.rules_file import parse_rules
from memvit.labels import Labels
from memvit.results.result import Result
from memvit.streams.events import SessionBegan
from memvit.streams.watcher import NO_FRAMES, ClipResult
from memvit.types import Clip, PersonBoxes
from pipelines.cli.app import app
from pipelines.watch.event_file import EventFile

RULES = """\
rules:
  - {name: high, actions: [1, 2, 3, 4, 5, 6, 7, 8], start_score: 0.5, keep_score: 0.4, merge_seconds: 1}
  - {name: there, dwell_seconds: 2}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_video(Scene(seed=1, seconds=6, width=96, height=64, frames_per_second=12), folder / "street.mp4")
    (folder / "rules.yaml").write_text(RULES)
    return folder


def watched(folder: Path, tiny_file: Path, out: Path, *more: str) -> tuple[int, str]:
    words = ["watch", str(folder / "street.mp4"), "--model", "memvit_tiny_8x4", "--checkpoint", str(tiny_file)]
    found = CliRunner().invoke(app, [*words, "--boxes", "full", "--out", str(out), *more])
    return found.exit_code, found.stderr


def test_the_events_are_those_of_the_results(folder: Path, tiny_file: Path, tmp_path: Path) -> None:
    rules = ["--rules", str(folder / "rules.yaml")]
    code, output = watched(folder, tiny_file, tmp_path, *rules, "--all-scores")
    assert code == 0, output
    text = (tmp_path / "events.jsonl").read_text()
    found = CliRunner().invoke(app, ["events", str(tmp_path / "street.jsonl"), *rules, "--json"])
    assert found.stdout == text
    told = [json.loads(line) for line in text.splitlines()]
    assert {one["rule"] for one in told} == {"high", "there"} and told[-1]["state"] == "end"
    assert "street: there has begun" in output and f"events: {tmp_path / 'events.jsonl'}" in output


def test_every_event_is_recorded(folder: Path, tiny_file: Path, tmp_path: Path) -> None:
    """Nothing is encoded again: the video of the event that lasts from begin to end has all frames of the source."""
    code, output = watched(
        folder, tiny_file, tmp_path, "--rules", str(folder / "rules.yaml"), "--record", str(tmp_path / "recordings")
    )
    assert code == 0, output
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    ids = {one["id"] for one in told}
    videos = {path.stem: path for path in (tmp_path / "recordings").glob("*/*.mp4")}
    pictures = {path.stem for path in (tmp_path / "recordings").glob("*/*.jpg")}
    assert set(videos) == pictures == ids
    (there,) = {one["id"] for one in told if one["rule"] == "there"}
    with av.open(str(videos[there])) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6 * 12
    code, output = watched(folder, tiny_file, tmp_path / "again", "--record", str(tmp_path / "recordings"))
    assert code == 1 and "without rules there are no events to record" in output


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ("rules: [{name: a, actions: [wav]}]", "rule a: the model knows none of its actions (wav); do you mean"),
        ("rules: [{name: a, actions: [0, 81]}]", "rule a: the model knows none of its actions (0, 81)"),
        ("rules: [{name: a}]", "rules.yaml:1: rule a needs `actions`"),
    ],
)
def test_rules_that_cannot_work_end_the_command(
    rules: str, sentence: str, folder: Path, tiny_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "rules.yaml").write_text(rules)
    code, output = watched(folder, tiny_file, tmp_path / "out", "--rules", str(tmp_path / "rules.yaml"))
    assert code == 1 and sentence in output and output.count("\n") == 1


def test_no_source_may_have_the_name_of_the_file_of_events(folder: Path, tiny_file: Path, tmp_path: Path) -> None:
    (tmp_path / "events.mp4").symlink_to(folder / "street.mp4")
    words = ["watch", str(tmp_path / "events.mp4"), "--model", "memvit_tiny_8x4", "--checkpoint", str(tiny_file)]
    words += ["--boxes", "full", "--out", str(tmp_path / "out"), "--rules", str(folder / "rules.yaml")]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 1 and "a source called events" in found.stderr


def clip_result(seconds: float, session: int = 0, centre_unix: float | None = None) -> ClipResult:
    boxes = PersonBoxes(np.array([[0, 0, 1, 1]], np.float32), np.ones(1, np.float32), np.ones(1, np.int64))
    scores = np.array([[0.9]], np.float32)
    result = Result("cam", 0, seconds, seconds, seconds, boxes, scores, session=session, centre_unix=centre_unix)
    return ClipResult(Clip("cam", 0, seconds, seconds, seconds, NO_FRAMES), result)


def test_a_new_session_ends_events_and_every_line_is_on_disk_at_once(tmp_path: Path) -> None:
    told: list[Event] = []
    rules = parse_rules("rules: [{name: there, actions: [wave]}]")
    file = EventFile(tmp_path, rules, Labels(("wave",)), 1.0, is_live=True, on_told=told.append)
    for seconds in (0, 1):
        file.add(clip_result(seconds, centre_unix=1_777_000_000.0 + seconds))
    file.add(SessionBegan("cam", 1, "a gap"))
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["new", "update", "end"]
    assert json.loads(lines[-1])["end_time"] == "2026-04-24T03:06:41.000Z"
    file.add(clip_result(9, session=1))
    file.close()
    assert [event.state for event in told[3:]] == ["new", "end"]
    assert told[3].id != told[0].id
