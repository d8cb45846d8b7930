"""Whole commands on hostile videos and full disks: a sentence each, and whatever is well goes on."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.pipelines.extract.archives import run
from tests.video import make

TINY = ("--model", "memvit_tiny_8x4", "--random-weights", "--boxes", "full")


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
def test_limits_can_be_set_by_the_user(folder: Path, tmp_path: Path, command: str) -> None:
    words = (command, folder / "wide.avi", *TINY, "--out", tmp_path / "a.zarr")
    code, output = run(*words, "--limits", "aspect=16,tokens=4000")
    assert code == 1 and "has 16384 tokens for the model" in output
    code, output = run(*words, "--limits", "aspect=16", *(["--retry-failed"] if command == "extract" else []))
    assert code == 0, output
    code, output = run(*words, "--limits", "wide=64")
    assert code == 2 and "use NAME=NUMBER with one of side" in output


@pytest.mark.parametrize("damage", ["size", "bits"])
def test_watch_and_extract_see_the_same_clips(tmp_path: Path, damage: str) -> None:
    """Pictures that change their size, and damaged packets that decoding threads would lose good ones with."""
    if damage == "size":
        path = make.write_changing(tmp_path / "a.ts", [(64, 48), (48, 64), (64, 48)], count=13)
    else:
        path = make.write(tmp_path / "a.mkv", make.busy(60, 96, 64), codec="libsvtav1", rate=12, g="12")
        make.flip_bytes(path, 0.3, 0.7, 10)
    code, output = run("watch", path, *TINY, "--out", tmp_path, "--all-scores")
    assert code == 0, output
    code, output = run("extract", path, *TINY, "--out", tmp_path / "a.zarr", "--precision", "float32")
    assert code == 0, output
    watched = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    ((_, video),) = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")["videos"].groups()  # type: ignore[union-attr]
    assert [record["seconds"] for record in watched] == video["seconds"][:].tolist()
    said = [sorted(action["score"] for action in record["people"][0]["actions"]) for record in watched]
    np.testing.assert_allclose(said, np.sort(video["action_scores"][:]), atol=2e-4)


def test_a_video_that_is_cut_off_is_done_with_a_note(tmp_path: Path) -> None:
    path = make.write(tmp_path / "a.mkv", make.busy(40, 96, 64), rate=10, g="5", preset="ultrafast")
    make.cut(path, 0.5)
    noted = "of the declared 4.0 s"
    code, output = run("watch", path, *TINY, "--out", tmp_path)
    assert code == 0 and "truncated: ended at" in output and noted in output
    code, output = run("extract", path, *TINY, "--out", tmp_path / "a.zarr", "--report", tmp_path / "report.json")
    assert code == 0 and noted in output and noted in (tmp_path / "report.json").read_text()
    code, output = run("info", tmp_path / "a.zarr")
    assert code == 0 and noted in output
