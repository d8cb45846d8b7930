"""From nothing to a classifier that tells directions of motion, and its evaluation, by command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from memvit.datasets.motion import DIRECTIONS, write_motion_set
from memvit.training.run_state import run_checkpoints
from pipelines.cli.app import app
from tests.processes import Command, wait_for

CONFIG = str(Path(__file__).parents[3] / "configs" / "motion.yaml")


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("motion")
    write_motion_set(folder / "train", 48, seed=0)
    write_motion_set(folder / "val", 100, seed=1_000_000)
    (folder / "labels.txt").write_text("\n".join(DIRECTIONS))
    return folder


@pytest.fixture(scope="module")
def data(motion: Path) -> list[str]:
    return [
        f"data.train={motion}/train/list.txt",
        f"data.val={motion}/val/list.txt",
        f"data.labels={motion}/labels.txt",
    ]


def train(out: Path, data: list[str], *options: str) -> float:
    """Train by command line; return the accuracy that it prints, in percent."""
    options = (f"run.out={out}", "run.batch_size=24", "run.evaluate_every_epochs=0", *options)
    result = CliRunner().invoke(app, ["train", CONFIG, *data, *options, "--json"])
    assert result.exit_code == 0, result.output
    return float(json.loads(result.stdout)["top1"])


@pytest.fixture(scope="module")
def trained(data: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a short training, which knows little."""
    out = tmp_path_factory.mktemp("run")
    train(out, data, "schedule.epochs=1", "schedule.warmup_epochs=0")
    return run_checkpoints(out)[-1]


@pytest.mark.slow
def test_training_tells_directions_of_motion(data: list[str], tmp_path: Path) -> None:
    write_motion_set(tmp_path / "many", 384, seed=0)
    many = f"data.train={tmp_path}/many/list.txt"
    top1 = train(tmp_path / "run", data, many, "schedule.epochs=5", "schedule.warmup_epochs=1")
    assert top1 > 95, "chance is 25"


def test_evaluation_gives_the_accuracy_of_the_training_run(trained: Path, data: list[str], tmp_path: Path) -> None:
    command = ["evaluate", CONFIG, *data, "--checkpoint", str(trained), "--out", str(tmp_path), "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    logged = json.loads((trained.parent / "log.jsonl").read_text().splitlines()[-1])
    assert found["top1"] == pytest.approx(logged["top1"])
    assert found["samples"] == 100
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["top1"] == found["top1"] and written["failed"] == []


def test_a_killed_evaluation_resumes(trained: Path, motion: Path, data: list[str], tmp_path: Path) -> None:
    few = motion / "val" / "few.txt"
    few.write_text("".join((motion / "val" / "list.txt").read_text().splitlines(keepends=True)[:8]))
    views = [f"data.val={few}", "data.temporal_views=2", "data.spatial_crops=3", "run.batch_size=3"]
    words = ["evaluate", CONFIG, *data, *views, "--checkpoint", trained]
    command = Command([*words, "--out", tmp_path / "killed"])
    predictions = tmp_path / "killed" / "predictions.jsonl"
    wait_for(lambda: predictions.exists() and predictions.read_text().count("\n") > 2)
    command.kill()
    before = predictions.read_text().count("\n") - 1
    assert 0 < before < 8
    with predictions.open("a") as file:
        file.write('{"name": "cut o')
    for folder in ("killed", "whole"):
        result = CliRunner().invoke(app, [str(word) for word in [*words, "--out", tmp_path / folder]])
        assert result.exit_code == 0, result.output
    killed, whole = (sorted((tmp_path / f / "predictions.jsonl").read_text().splitlines()) for f in ("killed", "whole"))
    assert killed == whole
    assert (tmp_path / "killed" / "metrics.json").read_text() == (tmp_path / "whole" / "metrics.json").read_text()


def test_a_broken_video_is_listed_and_counts_as_wrong(
    trained: Path, motion: Path, data: list[str], tmp_path: Path
) -> None:
    (motion / "val" / "broken.mp4").write_bytes(b"no video")
    listing = motion / "val" / "broken.txt"
    listing.write_text("broken.mp4 0\n0000.mp4 0\n")
    command = ["evaluate", CONFIG, *data, f"data.val={listing}", "--checkpoint", str(trained), "--out", str(tmp_path)]
    result = CliRunner().invoke(app, [*command, "--json"])
    assert result.exit_code == 1
    assert "broken.mp4" in result.stderr
    assert json.loads(result.stdout)["failed"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", CONFIG], "nothing to evaluate"),
        (["evaluate", CONFIG, "--checkpoint", "nowhere.pt"], "there is no such checkpoint file"),
        (["train", "nowhere.yaml"], "the recipe cannot be read"),
        (["train", CONFIG, "data.train=nowhere.txt"], "cannot be read"),
        (["train", CONFIG, "model.name=mvitv3"], "there is no model 'mvitv3'"),
        (["train", CONFIG, "model.reads=[1]"], "has no memory"),
    ],
)
def test_invalid_input_exits_1_with_one_sentence(
    arguments: list[str], message: str, data: list[str], tmp_path: Path
) -> None:
    extra = ["--out", str(tmp_path)] if arguments[0] == "evaluate" else [f"run.out={tmp_path}"]
    result = CliRunner().invoke(app, [*arguments[:2], *data, *arguments[2:], *extra])
    assert result.exit_code == 1
    assert "error:" in result.stderr and message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
