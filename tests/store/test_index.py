"""The index: its answers are those of the exact search, and what it does not know is searched and said."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import memvit.store
from memvit.store import Archive, Moment
from memvit.store.documents import MAX_BYTES, with_checksum, write_group
from memvit.store.errors import StoreError
from memvit.store.index import update_index
from memvit.store.index_manifest import Manifest, Part, read_manifest, write_manifest
from memvit.store.indexed import chooser
from memvit.store.similar import Example, similar
from pipelines.keeping import index, remove
from tests.store.test_find import create, drawn, write
from tests.store.test_keeping import killed_at
from tests.store.test_store import MADE_WITH

CHANNELS, VIDEOS = 12, 26


def film(seed: int) -> np.ndarray:
    """Features of a film, whose clips look alike: about a place of its own."""
    random = np.random.default_rng(500 + seed)
    return (3 * random.standard_normal(CHANNELS) + random.standard_normal((40, CHANNELS))).astype(np.float32)


def add(archive: Archive, seed: int, name: str | None = None) -> None:
    part = drawn(seed, "clips")
    part.clips["features"] = film(seed)
    write(archive, name or f"v-{seed:02}", part)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = create(str(tmp_path_factory.mktemp("index") / "a.zarr"), "clips")
    for seed in range(4):
        archive.forget(f"v-{seed}")
    for seed in range(VIDEOS):
        add(archive, seed)
    return Path(archive.location)


@pytest.fixture
def archive(made: Path, tmp_path: Path) -> Archive:
    return Archive.open(str(shutil.copytree(made, tmp_path / "a.zarr")), writable=True)


def ask(archive: Archive, seed: int, **more: bool) -> list[Moment]:
    return memvit.store.open(archive.location).similar(film(seed).mean(axis=0), top=5, **more)


def test_answers_are_those_of_the_exact_search(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memvit.store.index.FILE_ROWS", 300)  # several files
    monkeypatch.setattr("memvit.store.indexed.FEWEST_VIDEOS", 6)
    monkeypatch.setattr("memvit.store.indexed.VIDEOS_PER_ANSWER", 1)
    assert chooser(archive, "clips", 5) is None
    done = update_index(archive, "clips")
    assert (done.rebuilt, done.added, done.gone, done.rows) == (True, VIDEOS, 0, 40 * VIDEOS)
    manifest = read_manifest(archive, "clips")
    assert manifest is not None and [len(part.videos) for part in manifest.parts] == [0, 7, 7, 7, 5]
    for seed in range(0, VIDEOS, 5):
        assert ask(archive, seed) == ask(archive, seed, exact=True)
    choose = chooser(archive, "clips", 5, pytest.fail)
    assert choose is not None
    direction = film(3).mean(axis=0) / np.linalg.norm(film(3).mean(axis=0))
    chosen = choose(direction.astype(np.float32))
    assert "v-03" in chosen and len(chosen) == 6


def test_an_outdated_index_is_said_and_gives_right_answers(archive: Archive) -> None:
    update_index(archive, "clips")
    remove(archive.location, ["v-03"])
    add(archive, 40)
    add(archive, 41, name="v-05")  # another film in its place
    notes: list[str] = []
    for seed in (3, 40, 41, 5):
        example = Example(film(seed).mean(axis=0))
        choose = chooser(archive, "clips", 5, notes.append)
        found = similar(archive, example, top=5, choose=choose)
        assert found == ask(archive, seed, exact=True)
        assert "v-03" not in {moment.video for moment in found}
    assert "1 videos not in it, 1 videos removed since" in notes[0] and "memvit index" in notes[0]
    assert any("1 videos changed since" in note for note in notes)
    done = update_index(archive, "clips")
    assert (done.rebuilt, done.added, done.gone, done.rows) == (False, 2, 2, 40 * VIDEOS)
    choose = chooser(archive, "clips", 5, pytest.fail)
    assert choose is not None and "v-03" not in choose(np.eye(CHANNELS, dtype=np.float32)[0])
    assert update_index(archive, "clips").added == 0
    for seed in range(40, 50):
        add(archive, seed + 20)
    remove(archive.location, [f"v-{seed:02}" for seed in range(6, 14)])
    assert update_index(archive, "clips").rebuilt  # much of it was dead
    assert ask(archive, 65) == ask(archive, 65, exact=True)


def test_a_kill_leaves_the_index_before_or_after(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    update_index(archive, "clips")
    folder = Path(archive.location) / "index/clips"
    before = sorted(folder.iterdir())
    add(archive, 40)
    answers = ask(archive, 40, exact=True)
    for moment in (1, 3, 4, 6):  # two lists, the attributes, the files that nothing names any more
        with killed_at(moment, monkeypatch):
            list(index(archive.location, "clips", rebuild=True))
        manifest = read_manifest(archive, "clips")
        assert manifest is not None and ("v-40" in manifest.videos()) == (moment > 3)
        assert moment > 3 or set(before) <= set(folder.iterdir())
        assert ask(archive, 40) == answers
    list(index(archive.location, "clips", rebuild=True))
    manifest = read_manifest(archive, "clips")
    assert manifest is not None and len(manifest.parts) == 2
    assert len(list(folder.glob("*.faiss"))) == len(list(folder.glob("*.videos"))) == 2


def test_a_damaged_index_gets_a_sentence(archive: Archive) -> None:
    with pytest.raises(StoreError, match="classifies whole clips"):
        update_index(Archive.open(archive.location), "people")
    update_index(archive, "clips")
    *_, file = sorted((Path(archive.location) / "index/clips").glob("*.faiss"), key=lambda path: path.stat().st_size)
    for damage in (file.read_bytes()[:-1], b"x" * file.stat().st_size):
        file.write_bytes(damage)
        with pytest.raises(StoreError, match=r"index is damaged .*--rebuild"):
            ask(archive, 1)
    file.unlink()
    with pytest.raises(StoreError, match="is missing"):
        ask(archive, 1)
    assert update_index(archive, "clips", rebuild=True).rows == 40 * VIDEOS
    *_, videos = sorted(file.parent.glob("*.videos"), key=lambda path: path.stat().st_size)
    for text in (videos.read_text().replace("v-01", "v-11"), videos.read_text()[:-1]):
        videos.write_text(text)
        with pytest.raises(StoreError, match=r"index is damaged .*videos .*--rebuild"):
            ask(archive, 1)
    assert update_index(archive, "clips", rebuild=True).rows == 40 * VIDEOS
    document = file.with_name("zarr.json")
    document.write_text(document.read_text().replace('"trained_rows": 1040', '"trained_rows": 1041'))
    with pytest.raises(StoreError, match="does not fit its checksum"):
        ask(archive, 1)


def test_an_index_of_an_earlier_version_is_read_and_updated(archive: Archive) -> None:
    """Its lists of videos are in the attributes."""
    update_index(archive, "clips")
    manifest = read_manifest(archive, "clips")
    assert manifest is not None
    parts = [{"name": part.name, "bytes": part.bytes, "videos": part.videos} for part in manifest.parts]
    content = {"channels": CHANNELS, "trained_rows": 40 * VIDEOS, "parts": parts}
    write_group(archive.root.store, "index/clips", with_checksum(content))
    for file in (Path(archive.location) / "index/clips").glob("*.videos"):
        file.unlink()
    assert read_manifest(archive, "clips") == manifest and ask(archive, 4) == ask(archive, 4, exact=True)
    add(archive, 40)
    done = update_index(archive, "clips")
    assert (done.rebuilt, done.added, done.rows) == (False, 1, 40 * (VIDEOS + 1))


def test_the_list_of_videos_may_be_longer_than_a_document(tmp_path: Path) -> None:
    """200,000 videos of one clip; as attributes they would be refused."""
    archive = Archive.create(str(tmp_path / "a.zarr"), MADE_WITH)
    manifest = Manifest("clips", CHANNELS, 1000)
    videos = [(f"{'film' * 8} {number:08}-1a2b3c4d", f"{number:032x}", 1) for number in range(200_000)]
    manifest.parts.append(Part("x.faiss", 1, [*videos, ("", "0", 3)]))
    write_manifest(archive, manifest)
    assert max(path.stat().st_size for path in Path(archive.location).glob("index/clips/*.videos")) > MAX_BYTES
    assert read_manifest(archive, "clips") == manifest


def test_people_are_indexed_too(tmp_path: Path) -> None:
    archive = create(str(tmp_path / "a.zarr"), "people")
    for seed in range(4):
        archive.forget(f"v-{seed}")
        part = drawn(seed, "people")
        part.people["box_features"] = np.random.default_rng(seed).standard_normal((part.num_people, 6), np.float32)
        part.clips["features"] = part.clips["features"] + 1
        write(archive, f"v-{seed}", part)
    kinds = dict(index(archive.location, None))
    assert set(kinds) == {"clips", "people"} and kinds["people"].rows > kinds["clips"].rows
    library = memvit.store.open(archive.location)
    assert library.similar(np.eye(6)[0], people=True) == library.similar(np.eye(6)[0], people=True, exact=True)
    assert replace(library.provenance) == archive.provenance
