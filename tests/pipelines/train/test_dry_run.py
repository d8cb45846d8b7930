"""`memvit train RECIPE --dry-run`: says what a run would do, and writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from memvit.datasets.long_cue import Scene, write_long_cue
from memvit.training import footprint
from pipelines.cli.app import app

CONFIG = Path(__file__).parents[3] / "configs" / "long_cue" / "tiny.yaml"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long_cue")
    scenes = [Scene(seed, actors=2, seconds=5, width=64, height=64) for seed in range(3)]
    write_long_cue(folder, {"train": scenes, "val": scenes[:1]})
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The forward pass has a test of its own."""
    monkeypatch.setattr(footprint, "_activations", lambda *given, **options: 3_000_000)


def dry_run(data: Path, out: Path, *more: str) -> Result:
    options = [
        f"data.videos={data}/videos",
        f"data.train_boxes=[{data}/train.csv]",
        f"data.val_groundtruth={data}/val.csv",
        f"data.label_map={data}/saw.pbtxt",
        f"data.labels={data}/actions.pbtxt",
        f"run.out={out}",
        "run.batch_size=3",
        "schedule.epochs=5",
    ]
    return CliRunner().invoke(app, ["train", str(CONFIG), *options, "--dry-run", *more])


def test_a_dry_run_reports_the_run_and_writes_nothing(data: Path, tmp_path: Path) -> None:
    result = dry_run(data, tmp_path / "run", "--workers", "2")
    assert result.exit_code == 0, result.output
    said = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if not line.startswith(" "))
    assert said["training"] == "3 videos, 12 keyframes, 24 boxes"
    assert said["test"] == "1 videos, 4 keyframes, 8 boxes"
    assert said["batch"] == "3 over 2 processes"
    assert said["steps"] == "4 an epoch, 5 epochs: 20"
    assert said["folder"] == f"{tmp_path / 'run'}: a new run"
    assert "about 6.0 MB for activations" in result.stdout, "two lanes of the larger share"
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_prints_json(data: Path, tmp_path: Path) -> None:
    found = json.loads(dry_run(data, tmp_path, "--json").stdout)
    assert found["steps_per_epoch"] == 4 and found["missing"] == []
    assert found["memory"]["optimizer"] == 2 * found["memory"]["parameters"] == 8 * found["parameters"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.train_boxes=[nowhere.csv]", "nowhere.csv"),
        ("run.accumulate=9", "run.accumulate=9 is more than the 4 batches of an epoch"),
        ("data.videos=nowhere", "missing 4 files, the first: nowhere"),
    ],
)
def test_a_dry_run_fails_where_the_run_would_fail(change: str, message: str, data: Path, tmp_path: Path) -> None:
    result = dry_run(data, tmp_path, change)
    assert result.exit_code == 1
    assert message in " ".join(result.output.split())


def test_a_batch_for_too_many_workers(data: Path, tmp_path: Path) -> None:
    result = dry_run(data, tmp_path, "--workers", "4")
    assert result.exit_code == 1 and "cannot be shared out over 4 processes" in " ".join(result.output.split())
