"""`extract` notices moved files, and keeps the results of two models in one store."""

from __future__ import annotations

from pathlib import Path

import pytest

from memvit.store import Archive
from pipelines.info import describe_path

from .archives import arguments, run, small_video


@pytest.fixture
def folder(tiny_file: Path, tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for seed in (1, 2):
        small_video(tmp_path / "in" / f"v{seed}.mp4", seed=seed, seconds=4)
    assert run(*arguments(tiny_file, tmp_path / "a.zarr", tmp_path / "in"))[0] == 0
    return tmp_path


def test_a_moved_file_is_not_extracted_again(folder: Path, tiny_file: Path) -> None:
    before = {state.location: state for state in Archive.open(str(folder / "a.zarr")).videos()}
    old, new = folder / "in/v1.mp4", folder / "in/renamed.mp4"
    old.rename(new)
    code, output = run(*arguments(tiny_file, folder / "a.zarr", folder / "in"))
    assert code == 0 and "0 videos done, 2 were done before" in output and f"moved here from {old}" in output
    (moved,) = [state for state in Archive.open(str(folder / "a.zarr")).videos() if state.location == str(new)]
    assert moved.id == before[str(old)].id and moved.digests == before[str(old)].digests and not moved.note

    # Another film in the old place is another video, and so is a copy whose original is still there.
    small_video(old, seed=3, seconds=4)
    (folder / "in/copy.mp4").write_bytes((folder / "in/v2.mp4").read_bytes())
    code, output = run(*arguments(tiny_file, folder / "a.zarr", folder / "in"))
    assert code == 0 and "2 videos done, 2 were done before" in output and "moved here" not in output
    states = list(Archive.open(str(folder / "a.zarr")).videos())
    assert len(states) == len({state.id for state in states}) == 4
    assert {Path(state.location).name for state in states} == {"v1.mp4", "v2.mp4", "renamed.mp4", "copy.mp4"}
    code, output = run(*arguments(tiny_file, folder / "a.zarr", folder / "in"))
    assert code == 0 and "0 videos done, 4 were done before" in output


def test_the_keeping_commands(folder: Path, tiny_file: Path) -> None:
    store = folder / "a.zarr"
    code, output = run(*arguments(tiny_file, store, folder / "in"), "--as", "again", "--hop", "2")
    assert code == 0 and describe_path(str(store))["beside"] == ["again"]
    assert run("find", store / "models/again", "--action", "1", "--min-score", "0")[0] == 0
    (folder / "in").rename(folder / "films")
    code, output = run("relocate", store, folder / "in", folder / "films", "--dry-run")
    assert code == 0 and "2 videos would be moved" in output
    code, output = run("info", store, "--search", folder / "films")
    assert code == 0 and "moved 2 videos" in output
    code, output = run("relocate", store, folder / "in", folder / "films")
    assert code == 0 and "2 videos moved, 0 not found" in output
    code, output = run("remove", store, "v1.mp4")
    assert code == 0 and "1 video removed" in output
    code, output = run("remove", store, "v1.mp4")
    assert code == 1 and "no such video in the archive" in output
    code, output = run("merge", store, store / "models/again", "--out", folder / "both.zarr")
    assert code == 1 and "another sampling (hop seconds" in output and "--as NAME" in output
    code, output = run("merge", store, "--out", folder / "copy.zarr")
    assert code == 0 and "1 video copied" in output
