"""Archives that are changed as a whole: each change is killed at many points, and the archive is whole each time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from zarr.storage import LocalStore

import memvit.store
from memvit.store import Archive, VideoState, fingerprint
from memvit.store.beside import beside
from memvit.store.errors import StoreError
from memvit.store.ids import video_id
from memvit.store.relocate import is_missing
from pipelines.info import describe_path, info_text
from pipelines.keeping import index, merge_archives, relocate, remove
from tests.store.test_find import drawn
from tests.store.test_store import MADE_WITH

LAST = 15
"""The last of the changes that remove a video: a mark, its parts, twelve arrays, its group."""
PROVENANCE = replace(MADE_WITH, classes=("stand", "sit", "wave"))


def archive_of(location: Path, films: Path, seeds: list[int]) -> Archive:
    """An archive of films, which are files of drawn bytes."""
    films.mkdir(exist_ok=True)
    archive = Archive.create(str(location), PROVENANCE)
    for seed in seeds:
        film = films / f"film{seed}.mp4"
        film.write_bytes(np.random.default_rng(seed).bytes(5000 + seed))
        part = drawn(seed, "people")
        part.clips["features"] = np.random.default_rng(seed).standard_normal((len(part), 8)).astype(np.float32)
        state = VideoState(video_id(str(film)), str(film), "running", fingerprint=fingerprint(str(film)))
        archive.put(state)
        digests = archive.finish(state, [part], len(part), part.num_people)
        archive.put(replace(state, state="done", clips=len(part), people=part.num_people, digests=digests))
    return archive


def content(folder: Path) -> dict[str, bytes]:
    """All files of an archive."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class Killed(BaseException):
    """Ends a command as a kill would: nothing is written after it."""


@contextmanager
def killed_at(point: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The store dies with its change of this number; a folder that is being deleted is left half there."""
    changes = 0

    def dying(name: str) -> Callable[..., Any]:
        real = getattr(LocalStore, name)

        async def change(self: LocalStore, path: str, *values: Any) -> None:
            nonlocal changes
            changes += 1
            if changes == point and name == "delete_dir":
                for file in sorted(path for path in (self.root / path).rglob("*") if path.is_file())[::2]:
                    file.unlink()
            if changes >= point:
                raise Killed
            await real(self, path, *values)

        return change

    with monkeypatch.context() as patch, pytest.raises(Killed):
        for name in ("set", "delete", "delete_dir"):
            patch.setattr(LocalStore, name, dying(name))
        yield
        raise AssertionError("it ended before")


def check_whole(location: Path, ids: set[str]) -> set[str]:
    """Every video that is done is as it was written; returns the ids of these. No other video is shown than `ids`."""
    archive = Archive.open(str(location))
    states = list(archive.videos())
    assert {state.id for state in states} <= ids
    assert {state.state for state in states} <= {"done", "running"}
    assert not any(archive.damaged(state) for state in states if state.state == "done")
    return {state.id for state in states if state.state == "done"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keeping")
    archive_of(folder / "a.zarr", folder / "films", [1, 2])
    archive_of(folder / "b.zarr", folder / "films", [2, 3])
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    for name in ("a.zarr", "b.zarr"):
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


def ids_of(made: Path, *seeds: int) -> list[str]:
    return [video_id(str(made / "films" / f"film{seed}.mp4")) for seed in seeds]


def test_a_killed_removal_has_not_begun_or_is_as_good_as_done(
    folder: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ids_of(made, 1, 2)
    store = str(folder / "a.zarr")
    (folder / "a.zarr/work" / first / "0").mkdir(parents=True)
    (folder / "a.zarr/work" / first / "0/zarr.json").write_text("{}")
    before = content(folder / "a.zarr")
    for point in (1, 2, 3, 4, 9, LAST):
        with killed_at(point, monkeypatch):
            remove(store, [first])
        found = check_whole(folder / "a.zarr", {first, second})
        assert second in found and (first in found) == (point == 1)
        left = describe_path(store)["half_removed"]
        if point == 1:
            assert left == [] and content(folder / "a.zarr") == before
            continue
        assert left == [first] and f"memvit remove {store} {first}" in info_text(describe_path(store))
        remove(store, left)
        assert describe_path(store)["half_removed"] == []
        assert not any(first in path for path in content(folder / "a.zarr"))
        for path, data in before.items():
            (folder / "a.zarr" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "a.zarr" / path).write_bytes(data)


def test_removal_frees_what_it_says(folder: Path, made: Path) -> None:
    store, before = folder / "a.zarr", sum(map(len, content(folder / "a.zarr").values()))
    said = remove(str(store), ["film1.mp4"], dry_run=True)
    assert sum(map(len, content(store).values())) == before
    done = remove(str(store), ["film1*"])
    assert done == said and done.videos == ids_of(made, 1)
    assert before - sum(map(len, content(store).values())) == done.bytes > 0
    with pytest.raises(StoreError, match="film1: there is no such video"):
        remove(str(store), ["film2.mp4", "film1"])
    assert check_whole(store, set(ids_of(made, 2))) == set(ids_of(made, 2))


def test_a_killed_merge_leaves_whole_videos_and_goes_on(
    folder: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores, every = [str(folder / "a.zarr"), str(folder / "b.zarr")], set(ids_of(made, 1, 2, 3))
    sources = [content(Path(store)) for store in stores]
    done = merge_archives(stores, str(folder / "whole.zarr"))
    assert (done.copied, done.present) == (3, 0)
    whole = content(folder / "whole.zarr")
    assert check_whole(folder / "whole.zarr", every) == every
    counts = set()
    for point in (2, 8, 9, 60, 86):
        out = folder / "c.zarr"
        with killed_at(point, monkeypatch):
            merge_archives(stores, str(out))
        counts.add(len(check_whole(out, every)))
        assert [content(Path(store)) for store in stores] == sources
        again = merge_archives(stores, str(out))
        assert again.copied + again.present == 3
        assert content(out) == whole, point
        shutil.rmtree(out)
    assert counts >= {0, 1, 2}


def test_merging_into_one_of_them_adds_the_others(folder: Path, made: Path) -> None:
    stores = [str(folder / "a.zarr"), str(folder / "b.zarr")]
    done = merge_archives(stores, stores[0])
    assert (done.copied, done.present) == (1, 2)
    assert check_whole(folder / "a.zarr", set(ids_of(made, 1, 2, 3))) == set(ids_of(made, 1, 2, 3))
    other = Archive.create(str(folder / "other.zarr"), replace(PROVENANCE, weights_sha256="other"))
    with pytest.raises(StoreError, match=r"other weights of the model m .*--as NAME"):
        merge_archives([stores[0], other.location], str(folder / "c.zarr"))
    assert not (folder / "c.zarr").exists()


def test_files_are_found_by_their_content_and_a_kill_leaves_one_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = archive_of(tmp_path / "a.zarr", tmp_path / "films", [1, 2, 3])
    ids = archive.video_ids()
    new = tmp_path / "disk" / "deep"
    new.mkdir(parents=True)
    (tmp_path / "films/film1.mp4").rename(new.parent / "film1.mp4")
    (tmp_path / "films/film2.mp4").rename(new / "other name.mp4")
    (tmp_path / "films/film3.mp4").rename(new / "film3.mp4")
    os.truncate(new / "film3.mp4", 100)  # it is another file now
    shown = describe_path(archive.location, search=tmp_path / "disk")
    assert (set(shown["moved"]), shown["missing"]) == (set(ids[:2]), ids[2:])
    assert all(line in info_text(shown) for line in ("moved      2 videos", "missing    1 videos"))
    places = {str(tmp_path / "films"), str(new), str(new.parent)}
    for point in (1, 2):
        with killed_at(point, monkeypatch):
            relocate(archive.location, str(tmp_path / "films"), str(tmp_path / "disk"))
        assert {str(Path(state.location).parent) for state in archive.videos()} <= places
        assert check_whole(tmp_path / "a.zarr", set(ids)) == set(ids)
    done = relocate(archive.location, str(tmp_path / "films"), str(tmp_path / "disk"))
    assert len(done.moves) == 1 and [state.id for state in done.not_found] == ids[2:]
    now = {state.id: state.location for state in archive.videos()}
    assert now[ids[0]] == str(new.parent / "film1.mp4") and now[ids[1]] == str(new / "other name.mp4")
    assert [state.id for state in archive.videos() if is_missing(state)] == ids[2:]
    assert check_whole(tmp_path / "a.zarr", set(ids)) == set(ids)


def test_wrong_places_get_a_sentence(folder: Path, made: Path) -> None:
    store = str(folder / "a.zarr")
    with pytest.raises(StoreError, match="no video of the archive is from there"):
        relocate(store, "/elsewhere", str(folder))
    with pytest.raises(StoreError, match="no such file or folder"):
        relocate(store, str(made / "films"), str(folder / "none"))
    with pytest.raises(StoreError, match="a URL has no fingerprint"):
        relocate(store, "s3://films", str(folder))


def test_archives_of_two_models_lie_in_one_store(folder: Path) -> None:
    store = str(folder / "a.zarr")
    other = archive_of(Path(beside(store, "large")), folder / "more", [7])
    assert describe_path(store)["beside"] == ["large"] and "models/large" in info_text(describe_path(store))
    assert len(Archive.open(store).video_ids()) == 2 and len(Archive.open(other.location).video_ids()) == 1
    Archive.create(store, PROVENANCE)  # it goes on with the first one
    alone = archive_of(Path(beside(str(folder / "new.zarr"), "only")), folder / "more", [8])
    with pytest.raises(StoreError, match=r"name .*new\.zarr/models/only"):
        Archive.open(str(folder / "new.zarr"))
    Archive.create(str(folder / "new.zarr"), replace(PROVENANCE, model="another"))
    assert check_whole(Path(alone.location), set(alone.video_ids())) == set(alone.video_ids())
    with pytest.raises(StoreError, match="--as"):
        beside(store, "../up")


def test_archives_on_an_object_store_are_kept_as_local_ones(
    folder: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memvit.store.lease.POLL_SECONDS", 0.01)
    files = fsspec.filesystem("memory")
    url = f"memory://{folder.name}"
    for name in ("a.zarr", "b.zarr"):
        files.put(str(folder / name), f"/{folder.name}/{name}", recursive=True)
    done = merge_archives([f"{url}/a.zarr", f"{url}/b.zarr"], f"{url}/c.zarr")
    assert (done.copied, done.present) == (3, 0)
    library = memvit.store.open(f"{url}/c.zarr")
    assert all(library.damaged(state) == [] for state in library.videos())
    exact = library.similar(np.ones(8), top=3)
    kinds = dict(index(f"{url}/c.zarr", "clips"))
    assert kinds["clips"].added == 3 and library.similar(np.ones(8), top=3) == exact
    freed = remove(f"{url}/c.zarr", ["film1.mp4"])
    assert freed.bytes > 0 and memvit.store.open(f"{url}/c.zarr").video_ids() == sorted(ids_of(made, 2, 3))
    assert not any("film1" in path for path in files.find(f"/{folder.name}/c.zarr/videos"))
    assert {moment.video for moment in library.similar(np.ones(8), top=9)} == set(ids_of(made, 2, 3))
