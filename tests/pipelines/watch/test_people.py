"""`memvit watch` writes the number of each person, whatever the boxes come from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from memvit.datasets.long_cue import Scene, annotation_rows, write_video
from pipelines.cli.app import app

SCENE = Scene(seed=1, seconds=14, width=128, height=128, frames_per_second=15)
HIDDEN = range(8, 11)
"""Seconds in which one of the actors cannot be seen."""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("people") / "shapes.mp4"
    write_video(SCENE, path)
    return path


def watch(video: Path, rows: Iterable[str], out: Path, *more: str) -> tuple[list[dict], str]:  # type: ignore[type-arg]
    """The JSON Lines, and what was printed."""
    boxes = out.with_suffix(".csv")
    boxes.write_text("\n".join(rows))
    arguments = ["watch", str(video), "--model", "memvit_tiny_8x4", "--random-weights", "--boxes", str(boxes)]
    done = CliRunner().invoke(app, [*arguments, "--out", str(out), *more])
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in (out / "shapes.jsonl").open()], done.output


def actor_at(record: dict, box: list[float]) -> int:  # type: ignore[type-arg]
    actors = SCENE.boxes(record["seconds"])
    return int(np.abs(actors - np.array(box)).sum(axis=1).argmin())


def without_numbers(is_hidden: bool) -> list[str]:
    rows = [row.rsplit(",", 1)[0] + "," for row in annotation_rows(SCENE, "shapes", range(14))]
    return [row for place, row in enumerate(rows) if not (is_hidden and place // 3 in HIDDEN and place % 3 == 1)]


@pytest.mark.parametrize("is_hidden", [False, True])
def test_people_of_a_file_without_numbers_get_theirs(is_hidden: bool, video: Path, tmp_path: Path) -> None:
    """Also an actor who was hidden for three seconds has one number."""
    records, printed = watch(video, without_numbers(is_hidden), tmp_path / "out", "--ava-csv-persons")
    people = [(actor_at(record, person["box"]), person) for record in records for person in record["people"]]
    assert len(people) == 14 * 3 - is_hidden * len(HIDDEN)
    assert all(next(iter(person)) == "person" for _, person in people)
    pairs = {(actor, person["person"]) for actor, person in people}
    assert len(pairs) == 3 and {person for _, person in pairs} == {1, 2, 3}
    assert [f"person {number}: " in printed for number in range(5)] == [False, True, True, True, False]
    last = [row.split(",")[8] for row in (tmp_path / "out/shapes.csv").read_text().splitlines()]
    assert last == [str(person["person"]) for _, person in people for _ in range(80)]


def test_people_of_a_file_with_numbers_keep_them(video: Path, tmp_path: Path) -> None:
    records, _ = watch(video, annotation_rows(SCENE, "shapes", range(4)), tmp_path / "out", "--until", "3")
    people = [[person["person"] for person in record["people"]] for record in records]
    assert people == [[0, 1, 2]] * 3, "as they are written, from 0 in AVA's files"
