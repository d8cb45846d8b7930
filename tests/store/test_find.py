"""`find`: its intervals are what a slow and plain reading of all arrays gives, in every kind of archive."""

from __future__ import annotations

import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

import memvit.store
from memvit.store import Archive, Interval, Library, Query, Rows, VideoState
from memvit.store.errors import StoreError
from memvit.store.find import find
from tests.store.test_store import MADE_WITH

CLASSES = ("stand", "sit", "wave")
CLIPS = 40


def drawn(seed: int, kind: str) -> Rows:
    """A video with gaps, with scores that stay for a while; of people with numbers, or of whole clips."""
    random = np.random.default_rng(seed)
    seconds = np.sort(random.choice(2 * CLIPS, CLIPS, replace=False)).astype(np.float64)
    clips: dict[str, Any] = {
        "number": seconds.astype(np.int64),
        "seconds": seconds,
        "span_seconds": np.stack((seconds, seconds), axis=1),
        "frames_crc32": np.arange(CLIPS),
        "begins_session": random.random(CLIPS) < 0.05,
        "features": np.ones((CLIPS, 2), np.float32),
    }
    if kind == "clips":
        scores = np.repeat(random.random((CLIPS // 4, 3)), 4, axis=0).astype(np.float32)
        return Rows({**clips, "people": np.zeros(CLIPS, np.int64), "action_scores": scores}, {})
    there = [np.flatnonzero(random.random(5) < 0.7) for _ in range(CLIPS)]
    persons = np.concatenate(there)
    people: dict[str, Any] = {
        "boxes": np.tile(np.array([0.1, 0.1, 0.5, 0.9], np.float32), (len(persons), 1)),
        "box_scores": np.ones(len(persons), np.float32),
        "action_scores": (np.repeat(random.random((len(persons) // 4 + 1, 3)), 4, axis=0)[: len(persons)]),
        "box_features": np.zeros((len(persons), 2), np.float32),
        # 0 is a number too; two boxes of a clip are of person 3; others are of nobody.
        "person": np.array([0, 10**12, 3, 3, -1])[persons],
    }
    people["action_scores"] = people["action_scores"].astype(np.float32)
    return Rows({**clips, "people": np.array([len(found) for found in there])}, people)


def write(archive: Archive, name: str, part: Rows) -> None:
    state = VideoState(name, f"/films/{name}.mp4", "running")
    archive.put(state)
    digests = archive.finish(state, [part], len(part), part.num_people)
    archive.put(replace(state, state="done", clips=len(part), people=part.num_people, digests=digests))


def create(location: str, kind: str) -> Archive:
    archive = Archive.create(location, replace(MADE_WITH, classes=CLASSES, boxes="" if kind == "clips" else "x.csv"))
    for seed in range(4):
        write(archive, f"v-{seed}", drawn(seed, kind))
    archive.put(VideoState("w-1", "/films/w.mp4", "failed", "it is broken"))
    archive.put(VideoState("w-2", "/films/x.mp4", "running"))
    return archive


@pytest.fixture(scope="module", params=["people", "clips"])
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Library:
    return memvit.store.open(create(str(tmp_path_factory.mktemp("find") / "a.zarr"), request.param).location)


def plainly(part: Rows, columns: list[int], query: Query) -> list[tuple[Any, ...]]:
    """The intervals of a video: person, start, end, peak, mean; from a score for each person and clip."""
    is_people = bool(part.people)
    scores = (part.people if is_people else part.clips)["action_scores"][:, columns].max(axis=1)
    clips = np.repeat(np.arange(CLIPS), part.clips["people"]) if is_people else np.arange(CLIPS)
    persons = part.people["person"] if is_people else np.full(CLIPS, -1)
    best: dict[int, dict[int, float]] = defaultdict(dict)
    for clip, person, score in zip(clips, persons, scores, strict=True):
        best[int(person)][clip] = max(float(score), best[int(person)].get(clip, 0.0))
    seconds, session = part.clips["seconds"], np.cumsum(part.clips["begins_session"])
    found: list[tuple[Any, ...]] = []
    for person, of_clip in best.items():
        runs: list[list[int]] = []
        for clip in sorted(clip for clip, score in of_clip.items() if score >= query.min_score):
            last = runs[-1][-1] if runs else None
            if (
                last is None
                or session[last] != session[clip]
                or seconds[clip] - seconds[last] > query.merge_seconds + 1
            ):
                runs.append([clip])
            else:
                runs[-1].append(clip)
        for run in runs:
            start, end = seconds[run[0]], seconds[run[-1]]
            if end - start >= query.min_seconds and query.person in (None, person):
                values = [of_clip[clip] for clip in run]
                found.append((person if person >= 0 else None, start, end, max(values), sum(values) / len(values)))
    return sorted(found, key=lambda row: (row[1], -1 if row[0] is None else row[0]))


@pytest.mark.parametrize("block_rows", [1 << 16, 7])
@pytest.mark.parametrize(
    "query",
    [
        Query(("stand",)),
        Query(("SIT", "3"), min_score=0.8),
        Query(("stand", "sit", "wave"), min_score=0.0),
        Query(("wave",), min_seconds=3, merge_seconds=4),
        Query(("wave",), min_score=0.2, person=3, merge_seconds=2),
        Query(("stand",), person=0),
        Query(("stand",), person=99),
    ],
)
def test_intervals_are_those_of_a_plain_reading(
    query: Query, block_rows: int, archive: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memvit.store.find.BLOCK_ROWS", block_rows)
    kind = "people" if archive.provenance.boxes else "clips"
    columns = [{"stand": 0, "sit": 1, "wave": 2, "3": 2}[name.lower()] for name in query.actions]
    found = list(find(archive, query))
    for seed in range(4):
        expected = plainly(drawn(seed, kind), columns, query) if query.person is None or kind == "people" else []
        got = [interval for interval in found if interval.video == f"v-{seed}"]
        assert len(got) == len(expected)
        for interval, row in zip(got, expected, strict=True):
            times = interval.person, interval.start_seconds, interval.end_seconds
            assert times == row[:3] and (interval.peak_score, interval.mean_score) == pytest.approx(row[3:])
    assert [interval.video for interval in found] == sorted(interval.video for interval in found)
    assert found or query.person is not None


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("v-1", {1}), ("*-[12]", {1, 2}), ("v-3.mp4", {3}), ("/films/*", {0, 1, 2, 3}), ("x", set())],
)
def test_videos_are_chosen_by_id_location_or_name(pattern: str, expected: set[int], archive: Library) -> None:
    found = archive.find("stand", min_score=0.1, video=pattern)
    assert {int(interval.video[2:]) for interval in found} == expected


def test_an_archive_of_an_object_store_is_searched(archive: Library) -> None:
    files = fsspec.filesystem("memory")
    files.put(archive.location, "/found.zarr", recursive=True)
    found = list(memvit.store.open("memory://found.zarr").find(["stand", "wave"], min_score=0.6, merge_seconds=2))
    assert found == list(archive.find(["stand", "wave"], min_score=0.6, merge_seconds=2)) != []
    files.rm("/found.zarr", recursive=True)


def test_a_record_is_rounded() -> None:
    record = Interval("v", None, 1 / 3, 2.0, np.float32(0.7).item(), 0.123456).to_record()
    assert list(record) == ["video", "person", "start_seconds", "end_seconds", "peak_score", "mean_score"]
    assert list(record.values()) == ["v", None, 0.333, 2.0, 0.7, 0.1235]


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        (["stnd"], "knows no action 'stnd'; did you mean 'stand'?"),
        (["0"], "knows no action '0'; its actions are stand, sit, wave"),
        ([], "name an action"),
    ],
)
def test_an_unknown_action_is_one_sentence(actions: list[str], said: str, archive: Library) -> None:
    with pytest.raises(StoreError) as caught:
        list(archive.find(actions))
    assert said in str(caught.value)


def test_a_damaged_video_is_named_and_the_others_are_searched(archive: Library, tmp_path: Path) -> None:
    out = tmp_path / "a.zarr"
    shutil.copytree(archive.location, out)
    (out / "videos/v-1/action_scores/c/0/0").write_bytes(b"rot")
    (out / "videos/v-2/zarr.json").write_text("{")
    damaged: list[VideoState] = []
    found = list(find(memvit.store.open(str(out)), Query(("stand",)), damaged.append))
    assert [state.id for state in damaged] == ["v-1", "v-2"]
    assert found == [interval for interval in archive.find("stand") if interval.video in ("v-0", "v-3")]
    with pytest.raises(StoreError, match="v-1 are damaged; `memvit extract … --verify` repairs"):
        list(memvit.store.open(str(out)).find("stand"))


def test_chunks_of_a_long_video_hold_few_actions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One action is read without those that are far from it; and writing in columns changes no value."""
    monkeypatch.setattr("memvit.store.layout.CHUNK_BYTES", 512)
    archive = Archive.create(str(tmp_path / "a.zarr"), replace(MADE_WITH, classes=tuple(map(str, range(20)))))
    part = drawn(0, "people")
    scores = np.random.default_rng(0).random((part.num_people, 20), np.float32)
    write(archive, "v", Rows(part.clips, {**part.people, "action_scores": scores}))
    array = archive.array("v", "action_scores")
    assert array.chunks == (12, 8) and array.shards == (96, 24)
    assert np.array_equal(np.asarray(array[:]), scores) and archive.damaged(next(archive.videos())) == []
    assert [interval.peak_score for interval in memvit.store.open(archive.location).find("19", min_score=0.999)] == [
        float(score) for score in scores[:, 19] if score >= 0.999
    ]
