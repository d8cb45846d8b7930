"""`memvit models`: names whole in 80 columns, at once, and what is stored is what the zoo says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from memvit.models import list_models
from pipelines.cli.app import app
from pipelines.listing import model_rows
from tools.list_models import described

ROOT = Path(__file__).parents[2]


def test_the_stored_rows_are_what_the_zoo_says() -> None:
    rows = {row["name"]: row for row in model_rows("*")}
    assert list(rows) == list_models()
    for name, row in rows.items():
        sizes = {"parameters", "macs"}
        assert {key: value for key, value in row.items() if key not in sizes} == described(name)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["models", *arguments], env={"COLUMNS": "80", "TERM": "dumb"})
    return result.exit_code, result.output


def test_names_are_whole_in_80_columns() -> None:
    code, output = run()
    lines = output.splitlines()
    assert code == 0 and "…" not in output and max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[1 : 1 + len(list_models())]] == list_models()


def test_one_model_in_detail() -> None:
    code, output = run("memvit_16_16x4.ava_k400")
    assert code == 0
    for part in ("42,230,624 parameters", "clips 2, 4 back", "CC-BY-NC-4.0", "https://", "(80, ava)"):
        assert part in output
    assert "(400)" in run("mvitv2_tiny_8x4")[1]


def test_rows_as_json_and_unknown_names() -> None:
    assert [row["name"] for row in json.loads(run("memvit_16*", "--json")[1])] == list_models("memvit_16*")
    code, output = run("memvit_16")
    assert code == 1 and "did you mean memvit_16_16x4.ava_k400 or" in output


def test_listing_needs_no_torch() -> None:
    code = "import sys; from pipelines.listing import *; model_table(model_rows('*')); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "False"
