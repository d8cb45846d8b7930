"""The index: its answers are those of the exact search, and what it does not know is searched and said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import memvit.store
from memvit.store import Archive, Moment
from memvit.store.errors import StoreError
from memvit.store.index import read_manifest, update_index
from memvit.store.indexed import chooser
from memvit.store.similar import Example, similar
from pipelines.keeping import index, remove
from tests.store.test_find import create, drawn, write
from tests.store.test_keeping import killed_at

CHANNELS, VIDEOS = 12, 26


def film(seed: int) -> np.ndarray:
    """Features of a film, whose clips look alike: about a place of its own."""
    random = np.random.default_rng(500 + seed)
    return (3 * random.standard_normal(CHANNELS) + random.standard_normal((40, CHANNELS))).astype(np.float32)


def add(archive: Archive, seed: int, name: str | None = None) -> None:
    part = drawn(seed, "clips")
    part.clips["features"] = film(seed)
    write(archive, name or f"v-{seed:02}", part)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    archive = create(str(tmp_path / "a.zarr"), "clips")
    for seed in range(4):
        archive.forget(f"v-{seed}")
    for seed in range(VIDEOS):
        add(archive, seed)
    return archive


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
    with killed_at(1, monkeypatch):
        list(index(archive.location, "clips", rebuild=True))
    assert set(before) < set(folder.iterdir())  # a file that nothing names
    assert ask(archive, 40) == ask(archive, 40, exact=True)
    with killed_at(2, monkeypatch):
        list(index(archive.location, "clips", rebuild=True))
    assert ask(archive, 40) == ask(archive, 40, exact=True)
    list(index(archive.location, "clips"))
    manifest = read_manifest(archive, "clips")
    assert manifest is not None and sorted(manifest.videos())[-1] == "v-40"
    assert len(list(folder.glob("*.faiss"))) == len(manifest.parts) == 2


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
    document = file.with_name("zarr.json")
    document.write_text(document.read_text().replace('"trained_rows": 1040', '"trained_rows": 1041'))
    with pytest.raises(StoreError, match="does not fit its checksum"):
        ask(archive, 1)


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
