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
    (example,) = [body for language, body in FENCE.findall(page) if language == "yaml"]
    rules = parse_rules(example)
    assert [rule.name for rule in rules.rules] == ["waving", "loitering"] and len(rules.zones) == 1


def test_the_event_of_the_page_has_the_keys_that_are_written(folder: Path) -> None:
    page = (ROOT / "docs/events.md").read_text()
    (example,) = [body for language, body in FENCE.findall(page) if language == "json"]
    found = CliRunner().invoke(app, ["events", "cam.jsonl", "--rules", "rules.yaml", "--json"])
    assert list(json.loads(example)) == list(json.loads(found.stdout.splitlines()[0]))
    assert all(f"`{key}`" in page for key in json.loads(example))
