"""`memvit events` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from memvit.events.rules_file import parse_rules
from pipelines.cli.app import app
from tests.test_docs import FENCE, ROOT

RULES = "rules: [{name: waving, actions: [wave], start_score: 0.6, min_seconds: 2}]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yaml").write_text(RULES)
    for stream in ("cam", "door"):
        lines = [
            {
                "stream": stream,
                "clip": clip,
                "seconds": clip,
                "people": [{"person": 3, "box": [0, 0, 1, 1], "actions": [{"id": 1, "name": "wave", "score": score}]}],
            }
            for clip, score in enumerate([0.1, 0.7, 0.8, 0.9, 0.1, 0.9])
        ]
        (tmp_path / f"{stream}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in lines))
    return tmp_path


def test_events_of_several_files_are_printed_and_written(folder: Path) -> None:
    words = ["events", "cam.jsonl", "door.jsonl", "--rules", "rules.yaml", "--out", "events.jsonl"]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0
    assert found.stdout.splitlines() == [f"{name}: waving, person 3, 1–3 s (wave 0.90)" for name in ("cam", "door")]
    assert "2 events: waving 2" in found.stderr
    as_json = CliRunner().invoke(app, [*words[:5], "--json"])
    assert as_json.stdout == (folder / "events.jsonl").read_text()
    told = [json.loads(text) for text in as_json.stdout.splitlines()]
    assert [(one["stream"], one["state"]) for one in told] == [
        (name, state) for name in ("cam", "door") for state in ("new", "end")
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["none.jsonl", "--rules", "rules.yaml"], "none.jsonl: there is no such file or folder"),
        (["cam.jsonl", "--rules", "none.yaml"], "none.yaml: the rules cannot be read"),
        (["rules.yaml", "--rules", "rules.yaml"], "rules.yaml:1: this is not a line of JSON"),
        (["cam.jsonl", "--rules", "cam.jsonl"], "cam.jsonl:"),
        (["cam.jsonl", "cam.jsonl", "--rules", "rules.yaml"], "named twice"),
        (["cam.jsonl", "--rules", "rules.yaml", "--out", "cam.jsonl"], "this file is read"),
        (["cam.jsonl", "--rules", "rules.yaml", "--out", "none/events.jsonl"], "there is no such file or folder"),
        ([".", "--rules", "rules.yaml"], "this is a folder"),
    ],
)
def test_what_cannot_be_done_gets_one_sentence(words: list[str], sentence: str, folder: Path) -> None:
    found = CliRunner().invoke(app, ["events", *words])
    assert found.exit_code == 1 and found.stdout == ""
    assert found.stderr.startswith("error: ") and sentence in found.stderr and found.stderr.count("\n") == 1


def test_the_rules_of_the_page_are_read() -> None:
    page = (ROOT / "docs/events.md").read_text()
    (example,) = [body for language, body in FENCE.findall(page) if language == "yaml" and body.startswith("rules:")]
    rules = parse_rules(example)
    assert [rule.name for rule in rules.rules] == ["waving", "loitering"] and len(rules.zones) == 1


def test_the_event_of_the_page_has_the_keys_that_are_written(folder: Path) -> None:
    page = (ROOT / "docs/events.md").read_text()
    (example,) = [body for language, body in FENCE.findall(page) if language == "json"]
    found = CliRunner().invoke(app, ["events", "cam.jsonl", "--rules", "rules.yaml", "--json"])
    assert list(json.loads(example)) == list(json.loads(found.stdout.splitlines()[0]))
    assert all(f"`{key}`" in page for key in json.loads(example))


def test_events_are_measured_in_a_table_and_as_json(folder: Path) -> None:
    (folder / "truth.csv").write_text("cam,wave,1,3\ncam,wave,4,6\ndoor\n")
    CliRunner().invoke(app, ["events", "cam.jsonl", "door.jsonl", "--rules", "rules.yaml", "--out", "events.jsonl"])
    words = ["evaluate-events", "truth.csv", "events.jsonl"]
    found = CliRunner().invoke(app, words, env={"COLUMNS": "80"})
    assert found.exit_code == 0 and "2 true" in found.stdout
    measured = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert measured["all"]["iou"]["0.5"] == {"matched": 1, "precision": 0.5, "recall": 0.5, "f1": 0.5}
    assert measured["actions"]["wave"]["told_delay_seconds"] == 2.0


def test_a_sweep_prints_the_best_scores_and_draws_them(folder: Path) -> None:
    (folder / "truth.csv").write_text("cam,wave,1,3\n")
    words = ["evaluate-events", "truth.csv", "cam.jsonl", "--sweep", "--rules", "rules.yaml", "--plot", "sweep.png"]
    found = CliRunner().invoke(app, [*words, "--json"])
    (one,) = json.loads(found.stdout)
    assert (one["action"], one["best"]["start_score"], one["best"]["iou"]["0.5"]["f1"]) == ("wave", 0.7, 1.0)
    assert (folder / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert CliRunner().invoke(app, words[:3] + words[6:]).exit_code == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["none.csv", "cam.jsonl"], "none.csv: the truth cannot be read"),
        (["truth.csv", "none.jsonl"], "none.jsonl: there is no such file"),
        (["truth.csv", "cam.jsonl"], "cam.jsonl:1: `id` must be a text; is it a file of `memvit events`?"),
        (["rules.yaml", "cam.jsonl"], "rules.yaml:1: the columns must be"),
        (["truth.csv", "cam.jsonl", "--sweep", "--plot", "none/sweep.png"], "none/sweep.png: there is no such file"),
    ],
)
def test_what_cannot_be_measured_gets_one_sentence(words: list[str], sentence: str, folder: Path) -> None:
    (folder / "truth.csv").write_text("cam,wave,1,3\n")
    found = CliRunner().invoke(app, ["evaluate-events", *words])
    assert found.exit_code == 1 and found.stdout == ""
    assert found.stderr.startswith("error: ") and sentence in found.stderr and found.stderr.count("\n") == 1
