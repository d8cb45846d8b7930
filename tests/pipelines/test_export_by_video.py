"""`memvit export --by-video`: a data set in Parquet that is the archive, after kills and changes too."""

from __future__ import annotations

import fcntl
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset
import pytest
from typer.testing import CliRunner

from memvit.store import Archive
from memvit.types import MemvitError
from pipelines.cli.app import app
from pipelines.export import by_video
from pipelines.export.by_video import Written, export_by_video, folder_of
from tests.store.test_find import CLIPS, create, drawn, write

STRANGE = "film é=%20-9"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(create(str(tmp_path_factory.mktemp("made") / "a.zarr"), "people").location)


@pytest.fixture
def archive(made: Path, tmp_path: Path) -> Archive:
    return Archive.open(str(shutil.copytree(made, tmp_path / "a.zarr")), writable=True)


def rows(folder: Path) -> list[dict[str, Any]]:
    found = pyarrow.dataset.dataset(folder, partitioning="hive").to_table().sort_by([("video", "ascending")])
    return list(found.to_pylist())


@pytest.mark.parametrize("block_rows", [4096, 50])
def test_people_are_those_of_the_archive(
    block_rows: int, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_video, "BLOCK_ROWS", block_rows)
    write(archive, STRANGE, drawn(4, "people"))
    done = export_by_video(archive.location, tmp_path / "out", "people", features=True)
    found = rows(tmp_path / "out")
    assert done == Written(written=5, rows=len(found))
    ids = ["v-0", "v-1", "v-2", "v-3", STRANGE]
    for seed, name in enumerate(ids):
        part, of_video = drawn(seed, "people"), [row for row in found if row["video"] == name]
        clips = np.repeat(np.arange(CLIPS), part.clips["people"])
        persons = part.people["person"].tolist()
        assert [row["person"] for row in of_video] == [person if person >= 0 else None for person in persons]
        assert [row["detection"] for row in of_video] == list(range(part.num_people))
        assert [row["clip"] for row in of_video] == clips.tolist()
        assert [row["seconds"] for row in of_video] == part.clips["seconds"][clips].tolist()
        assert [[row[side] for side in ("x1", "y1", "x2", "y2")] for row in of_video] == part.people["boxes"].tolist()
        assert [row["scores"] for row in of_video] == part.people["action_scores"].tolist()
        assert [row["features"] for row in of_video] == part.people["box_features"].tolist()
        assert {row["location"] for row in of_video} == {f"/films/{name}.mp4"}
    assert sorted({row["video"] for row in found}) == sorted(ids)


@pytest.mark.parametrize("kind", ["people", "clips"])
def test_clips_are_those_of_the_archive(kind: str, tmp_path: Path) -> None:
    archive = create(str(tmp_path / "a.zarr"), kind)
    export_by_video(archive.location, tmp_path / "out", "clips", features=False)
    found = rows(tmp_path / "out")
    assert len(found) == 4 * CLIPS
    for seed in range(4):
        part, of_video = drawn(seed, kind), [row for row in found if row["video"] == f"v-{seed}"]
        assert [row["people"] for row in of_video] == part.clips["people"].tolist()
        assert [row["seconds"] for row in of_video] == part.clips["seconds"].tolist()
        assert [row["session"] for row in of_video] == np.cumsum(part.clips["begins_session"]).tolist()
        assert ("scores" in of_video[0]) == (kind == "clips") and "features" not in of_video[0]
        if kind == "clips":
            assert [row["scores"] for row in of_video] == part.clips["action_scores"].tolist()


def test_a_killed_export_leaves_whole_files_and_goes_on(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies in the third video, after the first block of rows."""
    out, whole = tmp_path / "out", tmp_path / "whole"
    export_by_video(archive.location, whole, "people", features=True)
    of_people = by_video.TABLES["people"]

    def dies(archive: Archive, state: Any, features: bool) -> Any:
        yield next(of_people(archive, state, features))
        if state.id == "v-2":
            raise KeyboardInterrupt
        yield from list(of_people(archive, state, features))[1:]

    with monkeypatch.context() as patched:
        patched.setitem(by_video.TABLES, "people", dies)
        with pytest.raises(KeyboardInterrupt):
            export_by_video(archive.location, out, "people", features=True)
    assert {row["video"] for row in rows(out)} == {"v-0", "v-1"}
    (out / "video=v-1/part-0.parquet").write_bytes(b"PAR1 cut off")
    again = export_by_video(archive.location, out, "people", features=True)
    assert (again.written, again.kept) == (3, 1) and rows(out) == rows(whole)
    assert not list(out.rglob("*.tmp"))


def test_changed_videos_are_written_again_and_those_that_are_gone_removed(archive: Archive, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_by_video(archive.location, out, "people", features=True)
    shutil.rmtree(tmp_path / "a.zarr/videos/v-0")
    state = archive.video("v-1")
    assert state is not None
    archive.put(replace(state, location="/moved/v-1.mp4"))
    done = export_by_video(archive.location, out, "people", features=True)
    assert (done.written, done.kept, done.removed) == (1, 2, 1)
    found = {row["video"]: row["location"] for row in rows(out)}
    assert found == {"v-1": "/moved/v-1.mp4", "v-2": "/films/v-2.mp4", "v-3": "/films/v-3.mp4"}


def test_a_folder_of_something_else_is_refused(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/photo.jpg").write_bytes(b"")
    with pytest.raises(MemvitError, match="this folder holds other files"):
        export_by_video(archive.location, tmp_path / "mine", "people", features=True)
    export_by_video(archive.location, tmp_path / "out", "people", features=True)
    with pytest.raises(MemvitError, match="this folder holds another table"):
        export_by_video(archive.location, tmp_path / "out", "clips", features=True)
    descriptor = os.open(tmp_path / "out", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(MemvitError, match="another export writes into this folder"):
        export_by_video(archive.location, tmp_path / "out", "people", features=True)
    os.close(descriptor)
    whole_clips = create(str(tmp_path / "c.zarr"), "clips")
    with pytest.raises(MemvitError, match="use --table clips"):
        export_by_video(whole_clips.location, tmp_path / "new", "people", features=True)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--by-video", "--table", "people"], 0, "555 rows of 4 videos, 0 videos as they were, 0 removed"),
        (["--by-video"], 1, "--table actions: with --by-video, use clips or people"),
        (["--by-video", "--to", "csv"], 2, "--by-video writes Parquet"),
        (["--no-features", "--to", "csv"], 2, "--no-features goes with --by-video"),
        (["--media", "x", "--to", "csv"], 2, "--media goes with --to fiftyone"),
    ],
)
def test_the_command_says_what_it_did(words: list[str], code: int, said: str, archive: Archive, tmp_path: Path) -> None:
    command = ["export", archive.location, "--out", str(tmp_path / "out"), *words]
    result = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert result.exit_code == code and said in " ".join(result.output.split()), result.output


def test_a_name_of_a_folder_is_short_and_has_no_sign_of_its_own() -> None:
    assert folder_of("film-1a2b3c4d") == "video=film-1a2b3c4d" and folder_of("a/b=c") == "video=a%2Fb%3Dc"
    assert len(folder_of("é" * 80).encode()) == 6 + 160
