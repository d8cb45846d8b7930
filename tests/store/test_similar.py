"""`similar`: an exact search, in which neighbours are one answer and the moment asked about is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import memvit.store
from memvit.store import Archive, Example, Library, Moment
from memvit.store.errors import StoreError
from memvit.store.similar import similar
from tests.store.test_find import CLIPS, create, drawn, write
from tests.store.test_store import MADE_WITH

CHANNELS = 6


def features(seed: int, rows: int) -> np.ndarray:
    return np.random.default_rng(100 + seed).standard_normal((rows, CHANNELS)).astype(np.float32)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Four videos with random features."""
    archive = create(str(tmp_path_factory.mktemp("similar") / "a.zarr"), "people")
    for seed in range(4):
        part = drawn(seed, "people")
        part.clips["features"] = features(seed, CLIPS)
        part.people["box_features"] = features(10 + seed, part.num_people)
        write(archive, f"v-{seed}", part)
    return memvit.store.open(archive.location)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.parametrize("block_rows", [4096, 7])
@pytest.mark.parametrize("people", [False, True])
def test_every_answer_is_that_of_a_plain_search(
    people: bool, block_rows: int, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memvit.store.similar.BLOCK_ROWS", block_rows)
    wanted = np.arange(1.0, CHANNELS + 1)
    plain = []
    for seed in range(4):
        part = drawn(seed, "people")
        clips = np.repeat(np.arange(CLIPS), part.clips["people"]) if people else np.arange(CLIPS)
        persons = part.people["person"] if people else np.full(CLIPS, -1)
        for clip, person, row in zip(clips, persons, features(seed + 10 * people, len(clips)), strict=True):
            number = int(person) if person >= 0 else None
            plain.append((cosine(row, wanted), f"v-{seed}", float(part.clips["seconds"][clip]), number))
    plain.sort(key=lambda row: -row[0])
    found = library.similar(wanted, people=people, top=25, every=True)
    assert [(moment.video, moment.seconds, moment.person) for moment in found] == [row[1:] for row in plain[:25]]
    assert [moment.similarity for moment in found] == pytest.approx([row[0] for row in plain[:25]], abs=1e-6)
    of_one = library.similar(wanted, people=people, top=5, every=True, video="v-2")
    assert [moment.seconds for moment in of_one] == [row[2] for row in plain if row[1] == "v-2"][:5]


def scenes(tmp_path: Path) -> Library:
    """A video of four scenes of 10 s, of which the second and the last look alike; 1 s a clip."""
    looks = np.eye(3, CHANNELS)[[0, 1, 2, 1]] + 0.02
    part = drawn(0, "clips")
    part.clips["seconds"] = np.arange(40.0)
    noise = 0.05 * np.random.default_rng(0).standard_normal((40, CHANNELS))
    part.clips["features"] = (np.repeat(looks, 10, axis=0) + noise).astype(np.float32)
    archive = Archive.create(str(tmp_path / "a.zarr"), replace(MADE_WITH, classes=("a", "b", "c"), boxes=""))
    write(archive, "v", part)
    return memvit.store.open(archive.location)


def test_neighbouring_seconds_are_one_answer(tmp_path: Path) -> None:
    library = scenes(tmp_path)
    best = library.similar(np.eye(CHANNELS)[1], top=2)
    assert sorted(int(moment.seconds // 10) for moment in best) == [1, 3]
    every = library.similar(np.eye(CHANNELS)[1], top=20, every=True)
    assert sorted(int(moment.seconds) for moment in every) == [*range(10, 20), *range(30, 40)]


def test_the_moment_asked_about_is_no_answer(tmp_path: Path) -> None:
    """Neither are its neighbours, unless every second is an answer."""
    library = scenes(tmp_path)
    assert 30 <= library.similar("v@15", top=1)[0].seconds < 40
    nearest = library.similar("v@15.4", top=19, every=True)
    assert sorted(int(moment.seconds) for moment in nearest) == [*range(10, 15), *range(16, 20), *range(30, 40)]


def test_people_are_compared_with_others(library: Library) -> None:
    """The person asked about is no answer at that time; another person of that clip may be one."""
    part = drawn(1, "people")
    clip = int(np.flatnonzero(part.clips["people"] >= 3)[0])
    second = float(part.clips["seconds"][clip])
    found = library.similar(f"v-1@{second}", people=True, person=3, top=400, every=True)
    of_clip = [moment.person for moment in found if (moment.video, moment.seconds) == ("v-1", second)]
    assert 3 not in of_clip and len(of_clip) > 0
    with pytest.raises(StoreError, match=r"there are .*3.*; name one of them with --person"):
        library.similar(f"v-1@{second}", people=True)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("v-1", "name a moment as VIDEO@SECONDS"),
        ("v-1@x", "name a moment as VIDEO@SECONDS"),
        ("v-1@1000", "there is no clip at 1000 s; its clips are from"),
        ("nobody@3", "there is no such video in the archive"),
        ("w-1@3", "this video is failed in the archive"),
        (np.zeros(CHANNELS), "all 0"),
        (np.ones(3), "features of this archive have 6 numbers, not 3"),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(what: str, said: str, library: Library) -> None:
    with pytest.raises(StoreError) as caught:
        library.similar(what)
    assert said in str(caught.value)


def test_a_damaged_video_is_passed_over(library: Library, tmp_path: Path) -> None:
    archive = create(str(tmp_path / "a.zarr"), "clips")
    (tmp_path / "a.zarr/videos/v-2/features/c/0/0").write_bytes(b"rot")
    damaged: list[str] = []
    example = Example(np.ones(2))
    with pytest.raises(StoreError, match="v-2 are damaged"):
        similar(archive, example)
    similar(archive, example, on_damaged=lambda state: damaged.append(state.id))
    assert damaged == ["v-2"]


def test_a_record_names_the_person_only_among_people() -> None:
    moment = Moment("v", 2.0, 0.98765, None)
    assert moment.to_record(people=False) == {"video": "v", "seconds": 2.0, "similarity": 0.9877}
    assert moment.to_record(people=True) == {"video": "v", "seconds": 2.0, "person": None, "similarity": 0.9877}
