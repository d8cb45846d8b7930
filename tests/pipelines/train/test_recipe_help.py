"""`memvit train RECIPE --keys`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from memvit.training.recipe import RECIPES
from memvit.training.recipe_keys import keys_of
from pipelines.cli.app import app

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.mark.parametrize(("name", "task"), [("motion", "classification"), ("long_cue/tiny", "actions")])
def test_every_key_is_listed_in_lines_of_80_characters(name: str, task: str) -> None:
    result = CliRunner().invoke(app, ["train", str(CONFIGS / f"{name}.yaml"), "run.batch_size=7", "--keys"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split("=")[0] for line in lines if not line.startswith(" ")] == list(keys_of(RECIPES[task]))
    assert "run.batch_size=7  (a whole number; default 16)" in lines
    assert lines[lines.index("run.batch_size=7  (a whole number; default 16)") + 1].startswith("    Samples in a batch")


def test_keys_as_json() -> None:
    result = CliRunner().invoke(app, ["train", str(CONFIGS / "motion.yaml"), "--keys", "--json"])
    rows = {row["key"]: row for row in json.loads(result.stdout)}
    assert rows["optimizer.learning_rate"]["value"] == 1e-3 and rows["optimizer.learning_rate"]["default"] == 1e-4
    assert rows["augment.flip"]["meaning"].startswith("Probability of a mirror image")
