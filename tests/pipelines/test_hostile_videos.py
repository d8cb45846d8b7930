"""Whole commands on hostile videos and full disks: a sentence each, and whatever is well goes on."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from tests.video import make

TINY = ("--model", "memvit_tiny_8x4", "--random-weights", "--boxes", "full")


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and everything printed, on one line."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.split())


def clips_of(path: Path) -> list[int]:
    return [json.loads(line)["clip"] for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good video and one that is 16 times as wide as high."""
    folder = tmp_path_factory.mktemp("videos")
    make.write(folder / "good.mp4", make.busy(60), preset="ultrafast")
    make.write(folder / "wide.avi", make.counted(3, 256, 16), codec="mjpeg", pixel_format="yuvj420p")
    return folder


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond 20,000 bytes: as on a disk that is full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_results_go_on_where_the_annotated_video_has_no_room(folder: Path, tmp_path: Path) -> None:
    code, output = run("watch", folder / "good.mp4", *TINY, "--out", tmp_path, "--annotate")
    assert code == 1
    assert output.count("good.mp4: writing the video failed (File too large); make room on the disk") == 1
    assert clips_of(tmp_path / "good.jsonl") == [0, 1] and "good: 2 clips" in output


def test_a_video_that_is_too_large_stops_no_other(folder: Path, tmp_path: Path) -> None:
    code, output = run("watch", folder / "wide.avi", folder / "good.mp4", *TINY, "--out", tmp_path)
    assert code == 1 and "wide.avi: its frames of 256×16 pixels" in output
    assert clips_of(tmp_path / "good.jsonl") == [0, 1]
    code, output = run("extract", folder, *TINY, "--out", tmp_path / "a.zarr")
    assert code == 1 and "wide.avi: its frames of 256×16 pixels" in output and "1 videos done" in output


@pytest.mark.parametrize("command", ["watch", "extract"])
def test_limits_are_the_users_choice(folder: Path, tmp_path: Path, command: str) -> None:
    words = (command, folder / "wide.avi", *TINY, "--out", tmp_path / "a.zarr")
    code, output = run(*words, "--limits", "aspect=16,tokens=4000")
    assert code == 1 and "has 16384 tokens for the model" in output
    code, output = run(*words, "--limits", "aspect=16", *(["--retry-failed"] if command == "extract" else []))
    assert code == 0, output
    code, output = run(*words, "--limits", "wide=64")
    assert code == 2 and "use NAME=NUMBER with one of side, pixels" in output
