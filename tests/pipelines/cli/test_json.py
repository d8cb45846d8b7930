"""`--json`: what a program reads is JSON that every parser accepts."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.cli.app import app
from pipelines.extract.run import write_report
from tests.test_json_text import strict

RECIPES = Path(__file__).parents[3] / "configs"


@pytest.mark.parametrize(
    ("replaced", "arguments"),
    [
        ("memvit.evaluation.ava.evaluate", ["ava-map", "truth.csv", "found.csv"]),
        ("pipelines.info.describe_path", ["info", "model.safetensors"]),
        ("pipelines.train.evaluate_actions.evaluate_actions", ["evaluate", str(RECIPES / "long_cue" / "tiny.yaml")]),
    ],
)
def test_a_value_that_is_not_a_number_is_printed_as_null(
    replaced: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def measured(*values: Any, **options: Any) -> dict[str, float]:
        return {"mAP@0.5IOU": math.nan, "kept": 0.5}

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(replaced, measured)
    found = CliRunner().invoke(app, [*arguments, "--json"])
    assert found.exit_code == 0, found.output
    assert strict(found.stdout) == {"mAP@0.5IOU": None, "kept": 0.5}


def test_report_of_an_extraction_is_valid_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("pipelines.extract.run.asdict", lambda timings: {"decode": math.nan})
    summary: Any = SimpleNamespace(
        videos=0, already_done=0, done={}, failed={}, clips=0, video_seconds=math.nan, wall_seconds=1.0, timings=None,
        lost=0, interrupted=False,
    )  # fmt: skip
    write_report(tmp_path / "report.json", summary)
    report = strict((tmp_path / "report.json").read_text())
    assert report["video_seconds"] is None and report["worker_seconds"] == {"decode": None}
