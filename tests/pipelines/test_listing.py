"""`memvit models`: names whole in 80 columns, at once, and what is stored is what the zoo says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from memvit.detection import list_detectors
from memvit.models import MODELS, list_models
from pipelines.cli.app import app
from pipelines.listing import model_rows
from tools.list_models import described, described_detector

ROOT = Path(__file__).parents[2]


def test_the_stored_rows_are_what_the_zoo_says() -> None:
    rows = {row["name"]: row for row in model_rows("*")}
    assert list(rows) == list_models() + list_detectors()
    for name, row in rows.items():
        expected = described(name) if name in MODELS else described_detector(name)
        assert {key: value for key, value in row.items() if key not in {"parameters", "macs"}} == expected


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["models", *arguments], env={"COLUMNS": "80", "TERM": "dumb"})
    return result.exit_code, result.output


def test_names_are_whole_in_80_columns() -> None:
    code, output = run()
    lines = output.splitlines()
    assert code == 0 and "…" not in output and max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[1 : 1 + len(list_models())]] == list_models()
    assert set(list_detectors()) <= {line.split()[0] for line in lines if line}
    assert "did you mean cascade_mask_rcnn_mvitv2_t.coco" in run("cascade_mask_rcnn_mvitv2_t")[1]


def test_one_detector_in_detail() -> None:
    code, output = run("cascade_mask_rcnn_mvitv2_b.coco_in21k")
    assert code == 0
    for part in ("103,147,038 parameters", "54.9 box AP, 47.4 mask AP", "Apache-2.0", "https://", "(80 classes, coco)"):
        assert part in output
    assert "none published" in run("mask_rcnn_mvitv2_tiny")[1]


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
    code = "import sys; from pipelines.listing import *; model_tables(model_rows('*')); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "False"
