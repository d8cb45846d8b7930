"""`memvit similar` with an example from a file: it is read as the archive was made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli.app import app

from .archives import arguments, run, small_video


@pytest.fixture(scope="module")
def folder(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of two videos, and a copy of one of them that is not in it."""
    folder = tmp_path_factory.mktemp("similar")
    (folder / "in").mkdir()
    for seed in (1, 2):
        small_video(folder / "in" / f"v{seed}.mp4", seed=seed, seconds=20)
    shutil.copy(folder / "in/v1.mp4", folder / "copy.mp4")
    assert run(*arguments(tiny_file, folder / "a.zarr", folder / "in"))[0] == 0
    return folder


@pytest.mark.parametrize("more", [[], ["--people"]])
def test_an_example_from_a_file_finds_the_same_moment(more: list[str], folder: Path, tiny_file: Path) -> None:
    """The features depend on 12 clips before, which are read too."""
    words = ["similar", folder / "a.zarr", f"{folder / 'copy.mp4'}@16.2", "--checkpoint", tiny_file, "--json", *more]
    model = ["--model", "memvit_tiny_8x4"]
    result = CliRunner().invoke(app, [str(word) for word in [*words, *model]])
    assert result.exit_code == 0, result.output
    best = json.loads(result.stdout.splitlines()[0])
    assert best["video"].startswith("v1-") and best["seconds"] == 16 and best["similarity"] == 1.0
    assert ("person" in best) == bool(more)


def test_a_moment_of_the_archive_is_named_by_file(folder: Path) -> None:
    """No model is needed; the moment itself is no answer."""
    code, output = run("similar", folder / "a.zarr", "v1.mp4@16", "--top", 3)
    assert code == 0 and output.count("similarity") == 3 and "v1-" in output and " 00:16 " not in output


@pytest.mark.parametrize(
    ("what", "more", "said"),
    [
        ("copy.mp4@16", ["--model", "memvit_tiny_8x4", "--random-weights"], "made with other weights of the model"),
        ("copy.mp4@99", ["--model", "memvit_tiny_8x4", "--checkpoint", "TINY"], "there is no clip at 99 s"),
        ("none.mp4@16", [], "neither a video of the archive nor a file"),
    ],
)
def test_another_model_or_moment_is_refused(
    what: str, more: list[str], said: str, folder: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    code, output = run("similar", folder / "a.zarr", what, *(tiny_file if word == "TINY" else word for word in more))
    assert code == 1 and said in output, output
