"""`memvit.watch` gives the results that the command writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import memvit
from memvit.datasets.long_cue import Scene, write_video
from memvit.results.jsonl import to_json
from memvit.types import MemvitError
from tests.processes import Command

TINY = {"model": "memvit_tiny_8x4", "boxes": "full"}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    write_video(Scene(seed=1, seconds=6, width=128, height=96), path)
    return path


def test_results_are_those_of_the_command(video: Path, tiny_file: Path, tmp_path: Path) -> None:
    found = list(memvit.watch(video, checkpoint=tiny_file, **TINY))
    assert [result.centre_seconds for result in found] == [0, 1, 2, 3, 4, 5]
    ((name, score), *_), = found[3].actions(top_k=2)  # fmt: skip
    assert isinstance(name, str) and 0 < score < 1
    command = Command(
        ["watch", video, "--model", "memvit_tiny_8x4", "--checkpoint", tiny_file, "--boxes", "full", "--out", tmp_path]
    )
    assert command.finish()[0] == 0
    written = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert found[0].labels is not None
    for result, line in zip(found, written, strict=True):
        assert json.loads(to_json(result, result.labels)) == line  # type: ignore[arg-type]


def test_failed_source_is_an_event_and_failure_of_the_last_one_raises(video: Path) -> None:
    events = []
    missing = video.with_name("missing.mp4")
    results = list(memvit.watch([missing, video], random_weights=True, on_event=events.append, **TINY))
    assert len(results) == 6 and len(events) == 6 + 3
    with pytest.raises(MemvitError, match="no such file"):
        list(memvit.watch(missing, random_weights=True, **TINY))


def test_iteration_can_be_stopped_early(video: Path) -> None:
    results = memvit.watch(video, random_weights=True, **TINY)
    assert next(results).clip_index == 0
    results.close()
