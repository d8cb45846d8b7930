"""Numbers of people in an archive: they depend on the stored boxes alone, and stay within their session."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import zarr

from memvit.store import Archive, Rows, VideoState
from memvit.store.documents import with_checksum
from memvit.store.layout import damaged_arrays, write_video
from memvit.store.persons import Numbering
from tests.store.test_store import MADE_WITH

CLIPS = 60
SIZE_CHANGES = 35
"""The clip with which the second session of the video begins."""


def crowd(first: int, stop: int) -> Rows:
    """Clips of a video with three people, of whom one is hidden at times, and with a box of a low score."""
    rows: dict[str, list[np.ndarray]] = {"boxes": [], "box_scores": [], "appearance": []}
    people = []
    for second in range(first, stop):
        there = np.flatnonzero([second % 7 != 3, True, True, second % 3 != 1])
        x = 0.1 + 0.22 * there + 0.01 * np.sin(second / 3 + there)
        boxes = np.stack((x, 0.2 + 0 * x, x + 0.1, 0.8 + 0 * x), axis=1).astype(np.float32)
        rows["boxes"].append(boxes)
        rows["box_scores"].append(np.where(there == 3, 0.3, 0.9).astype(np.float32))
        rows["appearance"].append(np.eye(4, dtype=np.float16)[there])
        people.append(len(there))
    seconds = np.arange(first, stop)
    clips = {
        "number": seconds,
        "seconds": seconds.astype(np.float64),
        "span_seconds": np.stack((seconds - 0.5, seconds + 0.5), axis=1),
        "frames_crc32": seconds,
        "people": np.array(people),
        "begins_session": seconds == SIZE_CHANGES,
        "features": np.zeros((len(seconds), 3), np.float32),
    }
    columns = {name: np.concatenate(found) for name, found in rows.items()}
    columns["action_scores"] = columns["box_features"] = np.zeros((sum(people), 2), np.float32)
    return Rows(clips, columns)


def written(parts: list[Rows]) -> zarr.Group:
    group = zarr.open_group(zarr.storage.MemoryStore(), mode="w")
    clips, people = sum(map(len, parts)), sum(part.num_people for part in parts)
    digests = write_video(group, parts, clips, people, ["a", "b"], numbering=Numbering())
    assert damaged_arrays(group, digests, clips, people, ["a", "b"]) == []
    return group


def read(group: zarr.Group, name: str) -> np.ndarray:
    return np.asarray(group[name][:])  # type: ignore[index]


@pytest.mark.parametrize("edges", [[0, 1, 2, 3, 60], [0, 20, 34, 36, 60], list(range(61))])
def test_numbers_and_tracks_do_not_depend_on_the_parts(edges: list[int]) -> None:
    """The parts travel as bytes, as those of a segment do."""
    whole = written([crowd(0, CLIPS)])
    cut = written([Rows.from_bytes(crowd(*ends).to_bytes()) for ends in pairwise(edges)])
    assert sorted(whole) == sorted(cut) and "person" in whole
    for name in whole:
        assert np.array_equal(read(whole, name), read(cut, name)), name


def test_people_keep_their_number_within_a_session_only() -> None:
    group = written([crowd(0, CLIPS)])
    clip, person = read(group, "detection_clip"), read(group, "person")
    place = np.rint((read(group, "boxes")[:, 0] - 0.1) / 0.22).astype(int)
    assert (read(group, "session") == (np.arange(CLIPS) >= SIZE_CHANGES)).all()
    for session in (clip < SIZE_CHANGES, clip >= SIZE_CHANGES):
        numbers = [set(person[session & (place == index)].tolist()) for index in range(4)]
        assert [len(found) for found in numbers] == [1, 1, 1, 1] and numbers[3] == {-1}, numbers
    assert not set(person[clip < SIZE_CHANGES]) & set(person[clip >= SIZE_CHANGES]) - {-1}
    assert read(group, "track").tolist() == [1, 2, 3, 4, 5, 6]


def test_the_table_of_tracks_is_what_the_rows_say() -> None:
    group = written([crowd(0, CLIPS)])
    person, seconds = read(group, "person"), read(group, "seconds")[read(group, "detection_clip")]
    for row, number in enumerate(read(group, "track")):
        own = person == number
        assert read(group, "track_first_seconds")[row] == seconds[own].min()
        assert read(group, "track_last_seconds")[row] == seconds[own].max()
        assert read(group, "track_clips")[row] == own.sum()
        mean = read(group, "boxes")[own].mean(axis=0, dtype=np.float64)
        assert np.allclose(read(group, "track_mean_box")[row], mean, atol=1e-6)
    assert group["track_mean_box"].metadata.dimension_names == ("track", "side")  # type: ignore[union-attr]


def test_numbers_that_came_with_the_boxes_are_kept() -> None:
    """Numbers may be 0, may be large, and two boxes of a person in one clip count as one clip."""
    part = crowd(0, 2)
    given = np.array([0, 10**12, -1, 7, 7, 0, 0, 0])[: part.num_people]
    people = {name: column for name, column in part.people.items() if name != "appearance"}
    group = written([Rows(part.clips, {**people, "person": given})])
    assert np.array_equal(read(group, "person"), given) and "appearance" not in group
    assert read(group, "track").tolist() == sorted(set(given.tolist()) - {-1})
    assert (read(group, "track_clips") <= 2).all()


def test_boxes_that_are_not_finite_are_no_person() -> None:
    part = crowd(0, 5)
    boxes = part.people["boxes"].copy()
    boxes[[0, 4]] = np.nan
    numbers = Numbering().number(Rows(part.clips, {**part.people, "boxes": boxes}))["person"]
    assert numbers[0] == numbers[4] == -1 and (numbers > 0).sum() > 5


def test_an_archive_of_the_first_layout_is_read_and_continued_without_numbers(tmp_path: Path) -> None:
    """It is neither mixed with numbered videos nor refused, and its description is left as it was."""
    tracked = replace(MADE_WITH, tracking={"keep_seconds": 10.0})
    archive = Archive.create(str(tmp_path / "a.zarr"), MADE_WITH)
    content = {**archive.root.attrs["memvit"], "layout": 1}  # type: ignore[dict-item]
    archive.root.attrs["memvit"] = with_checksum(content)
    before = archive.root.store_path.store.root / "zarr.json"  # type: ignore[attr-defined]
    text = before.read_text()
    archive = Archive.create(str(tmp_path / "a.zarr"), tracked)
    state = VideoState("v", "v.mp4", "running")
    archive.put(state)
    part = crowd(0, 5)
    digests = archive.finish(state, [part], len(part), part.num_people)
    archive.put(replace(state, state="done", clips=5, people=part.num_people, digests=digests))
    opened = Archive.open(str(tmp_path / "a.zarr"))
    assert before.read_text() == text and not opened.has_persons and opened.persons("v") is None
    assert not {"person", "appearance", "track"} & set(opened.group("v"))
    (state,) = opened.videos()
    assert state.made_with == MADE_WITH.digest and opened.damaged(state) == []
