"""`memvit remove`, `relocate` and `merge` as processes that are killed at random, 30 times each."""

from __future__ import annotations

import contextlib
import random
import shutil
import time
from pathlib import Path

import pytest

from memvit.store import Archive
from tests.processes import Command, wait_for
from tests.store.test_keeping import archive_of, check_whole

ROUNDS = 30
FILMS = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    archive_of(folder / "a.zarr", folder / "films", list(range(FILMS)))
    archive_of(folder / "b.zarr", folder / "films", list(range(FILMS, 2 * FILMS)))
    shutil.copytree(folder / "films", folder / "moved")
    return folder


def words(command: str, folder: Path, made: Path) -> list[object]:
    store = folder / "a.zarr"
    if command == "remove":
        return ["remove", store, "film*"]
    if command == "relocate":
        return ["relocate", store, made / "films", made / "moved"]
    return ["merge", store, made / "b.zarr", "--out", folder / "c.zarr"]


def has_begun(command: str, folder: Path) -> bool:
    """Whether something has changed on disk."""
    if command == "merge":
        return (folder / "c.zarr/zarr.json").exists()
    mark = b'"state": "removed"' if command == "remove" else b"/moved/"
    documents = list((folder / "a.zarr/videos").glob("*/zarr.json"))
    try:
        return len(documents) < FILMS or any(mark in path.read_bytes() for path in documents)
    except FileNotFoundError:
        return True


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("command", ["remove", "relocate", "merge"])
def test_killed_at_random_the_store_is_whole(command: str, made: Path, tmp_path: Path) -> None:
    every = {state.id for name in "ab" for state in Archive.open(str(made / f"{name}.zarr")).videos()}
    of_a = set(Archive.open(str(made / "a.zarr")).video_ids())

    def begin() -> Command:
        shutil.rmtree(tmp_path, ignore_errors=True)
        shutil.copytree(made / "a.zarr", tmp_path / "a.zarr")
        return Command(words(command, tmp_path, made))

    running = begin()
    wait_for(lambda: has_begun(command, tmp_path))
    began = time.monotonic()
    assert running.finish()[0] == 0
    longest = time.monotonic() - began
    drawn, halfway = random.Random(0), 0
    for _ in range(ROUNDS):
        running = begin()
        wait_for(lambda: has_begun(command, tmp_path) or not running.is_running)  # noqa: B023
        time.sleep(drawn.uniform(0, 0.8) * longest)
        with contextlib.suppress(ProcessLookupError):  # It has ended before.
            running.kill()
        whole = check_whole(tmp_path / "a.zarr", of_a)
        if command == "merge":
            assert whole == of_a
            if (tmp_path / "c.zarr/zarr.json").exists():
                halfway += 0 < len(check_whole(tmp_path / "c.zarr", every)) < len(every)
        elif command == "remove":
            halfway += 0 < len(whole) < len(of_a)
        else:
            assert whole == of_a
            places = {Path(state.location).parent.name for state in Archive.open(str(tmp_path / "a.zarr")).videos()}
            assert places <= {"films", "moved"}
            halfway += len(places) == 2
        if command != "remove":
            code, output = Command(words(command, tmp_path, made)).finish()
            assert code == 0 or "no video of the archive is from there" in output
        else:
            code, output = Command(words(command, tmp_path, made)).finish()
            assert code == 0 or "there is no such video" in output
            assert check_whole(tmp_path / "a.zarr", set()) == set()
            continue
        done = tmp_path / ("c.zarr" if command == "merge" else "a.zarr")
        assert check_whole(done, every) == (every if command == "merge" else of_a)
    assert halfway >= 3
    print(f"{command}: killed {ROUNDS} times, {halfway} times half way")
