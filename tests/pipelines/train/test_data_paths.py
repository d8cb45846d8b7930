"""Missing data are reported before a model is loaded or downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
from typer.testing import CliRunner

import pipelines.train.evaluate
import pipelines.train.run
from pipelines.cli.app import app

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.fixture(autouse=True)
def without_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_model(name: str, **more: object) -> NoReturn:
        pytest.fail(f"{name} was loaded before the data were looked at")

    monkeypatch.setattr(pipelines.train.run, "load_model", load_model)
    monkeypatch.setattr(pipelines.train.evaluate, "load_model", load_model)


@pytest.mark.parametrize(
    ("command", "recipe", "key"),
    [
        ("train", "motion.yaml", "data.train"),
        ("train", "motion.yaml", "data.val"),
        ("train", "motion.yaml", "data.labels"),
        ("evaluate", "motion.yaml", "data.val"),
        ("train", "long_cue/tiny.yaml", "data.videos"),
        ("train", "long_cue/tiny.yaml", "data.train_boxes"),
        ("evaluate", "long_cue/tiny.yaml", "data.val_groundtruth"),
    ],
)
def test_missing_data_fail_before_a_model_is_loaded(command: str, recipe: str, key: str, tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    keys = {
        "motion.yaml": ("train", "val", "labels"),
        "long_cue/tiny.yaml": ("videos", "train_boxes", "val_groundtruth", "label_map", "labels"),
    }[recipe]
    overrides = [_override(f"data.{name}", str(tmp_path / "there")) for name in keys]
    overrides.append(_override(key, "nowhere"))
    out = [f"run.out={tmp_path / 'out'}"] if command == "train" else ["--out", str(tmp_path / "out")]
    weights = [] if command == "train" else ["--checkpoint", str(tmp_path / "there")]
    result = CliRunner().invoke(app, [command, str(CONFIGS / recipe), *overrides, *out, *weights])
    assert result.exit_code == 1
    message = " ".join(result.stderr.split())
    assert f"{key}=nowhere: the path cannot be read (No such file or directory)" in message


def _override(key: str, value: str) -> str:
    return f"{key}=[{value}]" if key == "data.train_boxes" else f"{key}={value}"
