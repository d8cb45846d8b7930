"""Every file of a real archive is damaged in several ways: the damage is named, affects nothing else, is repaired."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memvit.store import Archive, VideoState
from memvit.store.errors import StoreError
from memvit.store.work import SegmentWork

from .test_store import MADE_WITH, SNAPSHOT, rows

VIDEOS = ("a-1", "b-2")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of two finished videos and a running one."""
    path = tmp_path_factory.mktemp("whole") / "a.zarr"
    archive, part = Archive.create(str(path), MADE_WITH), rows(0, 40)
    for name in VIDEOS:
        state = VideoState(name, f"/{name}.mp4", "running")
        archive.put(state)
        digests = archive.finish(state, [part], len(part), part.num_people)
        archive.put(VideoState(name, f"/{name}.mp4", "done", clips=40, people=part.num_people, digests=digests))
    archive.put(VideoState("c-3", "/c.mp4", "running"))
    work = archive.work("c-3", 0)
    work.commit(rows(0, 8), SNAPSHOT, {})
    work.commit(rows(8, 8), SNAPSHOT, {})
    return path


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x55
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


DAMAGES: dict[str, Callable[[Path], None]] = {"flip": flip, "cut": cut, "remove": Path.unlink}


def found_damage(archive: Path) -> dict[str, list[str]]:
    """What a check of an archive finds: video → names; under `archive` the documents that belong to no video."""
    try:
        opened = Archive.open(str(archive))
    except StoreError as error:
        assert "zarr.json is" in str(error)
        return {"archive": ["zarr.json"]}
    found = {state.id: opened.damaged(state) for state in opened.videos()}
    found["archive"] = opened.damaged_groups()
    return {name: names for name, names in found.items() if names}


@pytest.mark.parametrize("every_kind", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_damage_to_any_file_of_a_finished_video_is_found(every_kind: bool, whole: Path, tmp_path: Path) -> None:
    """Damage to each file of a finished video, of one kind or of each, is found, and found in that video alone."""
    out = tmp_path / "a.zarr"
    shutil.copytree(whole, out)
    assert found_damage(out) == {}
    files = sorted(path.relative_to(out) for path in (out / "videos/a-1").rglob("*") if path.is_file())
    assert len(files) > 18 and Path("videos/a-1/action/c/0") in files
    for place, file in enumerate(files):
        content = (out / file).read_bytes()
        kinds = list(DAMAGES) if every_kind else [list(DAMAGES)[place % len(DAMAGES)]]
        for kind in kinds:
            DAMAGES[kind](out / file)
            found = found_damage(out)
            assert list(found) == ["a-1"], (file, kind, found)
            (out / file).write_bytes(content)
    assert found_damage(out) == {}


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", ["zarr.json", "videos/zarr.json", "work/zarr.json"])
def test_damaged_documents_above_the_videos_are_repaired(name: str, kind: str, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.zarr"
    shutil.copytree(whole, out)
    DAMAGES[kind](out / name)
    assert found_damage(out) == {"archive": [name]}
    if name == "zarr.json":
        with pytest.raises(StoreError, match=r"--verify|not an archive"):
            Archive.create(str(out), MADE_WITH)
    Archive.create(str(out), MADE_WITH, repair=True)
    assert found_damage(out) == {}


def test_a_repaired_archive_rejects_results_of_other_settings(whole: Path, tmp_path: Path) -> None:
    """The description of the archive is lost; the digest in each video's attributes still tells how it was made."""
    out = tmp_path / "a.zarr"
    shutil.copytree(whole, out)
    flip(out / "zarr.json")
    archive = Archive.create(str(out), replace(MADE_WITH, weights_sha256="other"), repair=True)
    assert [bool(archive.damaged(state)) for state in archive.videos() if state.state == "done"] == [True, True]


def test_damaged_parts_are_found_and_never_used(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.zarr"
    shutil.copytree(whole, out)
    files = sorted(path.relative_to(out) for path in (out / "work/c-3").rglob("*/*") if path.is_file())
    assert len(files) == 7, files
    for file in files:
        content = {path: path.read_bytes() for path in (out / "work/c-3").rglob("*") if path.is_file()}
        flip(out / file)
        assert list(found_damage(out)) in (["c-3"], []), file
        archive = Archive.open(str(out))
        shown = archive.damaged(VideoState("c-3", "", "running"))
        work = Archive.create(str(out), MADE_WITH).work("c-3", 0)
        for part, first in zip(work.rows(), (0, 8), strict=False):
            assert np.array_equal(part.clips["features"], rows(first, 8).clips["features"]), file
        assert shown or (work.clips == 16 and work.snapshot() is not None), file
        shutil.rmtree(out / "work/c-3")
        for path, data in content.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def test_a_snapshot_with_altered_values_is_rejected(tmp_path: Path) -> None:
    """An altered snapshot can still be well formed; only its checksum shows the damage."""
    archive = Archive.create(str(tmp_path / "a.zarr"), MADE_WITH)
    archive.work("v", 0).commit(rows(0, 8), SNAPSHOT, {})
    memory = tmp_path / "a.zarr/work/v/0/memory-1/c/0"
    content = bytearray(memory.read_bytes())
    content[-1] ^= 1
    memory.write_bytes(content)
    assert SegmentWork.open(archive.root, "work/v/0").snapshot() is None


@pytest.mark.parametrize(
    "attributes",
    ['{"state": "done"}', '{"state": 5, "location": []}', '{"state": "done", "location": "x", "segments": 7}'],
)
def test_attributes_that_describe_no_video_count_as_damaged(attributes: str, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.zarr"
    shutil.copytree(whole, out)
    text = f'{{"attributes": {attributes}, "zarr_format": 3, "node_type": "group"}}'
    (out / "videos/a-1/zarr.json").write_text(text)
    states = {state.id: state for state in Archive.open(str(out)).videos()}
    assert states["a-1"].state == "damaged" and "videos/a-1/zarr.json is damaged" in states["a-1"].reason
    assert states["b-2"].state == "done"
