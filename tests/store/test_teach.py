"""Teaching from an archive: what is taught is found, in films and people that had no label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import memvit.store
from memvit.events.detect import StreamEvents
from memvit.events.rules import Rule, Rules
from memvit.events.scores import Action, ClipScores, PersonScores
from memvit.store import Library
from memvit.store.errors import StoreError
from memvit.store.examples import APART_SECONDS, TeachError
from memvit.teaching import HeadError, load_head, save_head
from memvit.teaching.validation import average_precision
from pipelines.find_events import events_of_archive
from tests.store.test_find import CLIPS, create, drawn, write

CHANNELS = 6
VIDEOS = 8


def features(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Features, and whether the action happens: for five rows at a time."""
    random = np.random.default_rng(100 + seed)
    happens = np.repeat(random.random(rows // 5 + 1) < 0.3, 5)[:rows]
    values = random.standard_normal((rows, CHANNELS)) + 4.0 * happens[:, None] * np.eye(CHANNELS)[2]
    return values.astype(np.float32), happens


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    archive = create(str(tmp_path_factory.mktemp("teach") / "a.zarr"), "people")
    for seed in range(VIDEOS):
        part = drawn(seed, "people")
        part.clips["features"] = features(seed, CLIPS)[0]
        part.people["box_features"] = features(50 + seed, part.num_people)[0]
        write(archive, f"v-{seed}", part)
    return memvit.store.open(archive.location)


def labels(library: Library, path: Path, reads: str, videos: int = 5) -> Path:
    """A file with every third row of the first videos."""
    lines = ["video,seconds,person,label"]
    for seed in range(videos):
        seconds = library.array(f"v-{seed}", "seconds")[:]
        clips = library.array(f"v-{seed}", "detection_clip")[:] if reads == "people" else np.arange(CLIPS)
        persons = library.array(f"v-{seed}", "person")[:] if reads == "people" else np.full(CLIPS, -1)
        happens = features(seed + 50 * (reads == "people"), len(clips))[1]
        for row in range(0, len(clips), 3):
            one = (clips == clips[row]) & (persons == persons[row])
            if reads == "clips" or (persons[row] >= 0 and one.sum() == 1):
                who = persons[row] if reads == "people" else ""
                lines.append(f"/films/v-{seed}.mp4,{seconds[clips[row]] + 0.2},{who},{int(happens[row])}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("reads", ["people", "clips"])
def test_what_is_taught_is_found_in_other_films(reads: str, library: Library, tmp_path: Path) -> None:
    taught = library.teach(labels(library, tmp_path / "labels.csv", reads), "jumps")
    assert taught.head.reads == reads and taught.examples.left_out == ()
    save_head(tmp_path / "head.safetensors", taught.head)
    head = load_head(tmp_path / "head.safetensors")
    for seed in range(5, VIDEOS):
        name = "box_features" if reads == "people" else "features"
        values = np.asarray(library.array(f"v-{seed}", name)[:])
        happens = features(seed + 50 * (reads == "people"), len(values))[1]
        assert average_precision(head.scores(values), happens) > 0.9
    found = list(library.find(heads=[head], min_score=0.4))
    assert {interval.person is None for interval in found} >= {reads == "clips"}
    for interval in found[:10]:
        seconds = np.asarray(library.array(interval.video, "seconds")[:])
        values = np.asarray(library.array(interval.video, name)[:])
        if reads == "clips":
            inside = (seconds >= interval.start_seconds) & (seconds <= interval.end_seconds)
            assert head.scores(values[inside]).max() == pytest.approx(interval.peak_score)
            assert head.scores(values[inside]).min() >= 0.4


def test_scores_of_the_model_and_of_heads_are_found_together(library: Library, tmp_path: Path) -> None:
    head = library.teach(labels(library, tmp_path / "labels.csv", "people"), "jumps").head
    alone = list(library.find("sit", min_score=0.9)), list(library.find(heads=[head], min_score=0.9))
    both = list(library.find("sit", heads=[head], min_score=0.9))
    covered = {(one.video, one.person, one.start_seconds) for one in both}
    assert len(both) >= max(map(len, alone)) and len(covered) == len(both)
    by_clip = replace(head, reads="clips")
    with pytest.raises(StoreError, match="cannot be asked for together"):
        list(library.find("sit", heads=[by_clip]))
    other = replace(head, model=replace(head.model, weights_sha256="0"))
    with pytest.raises(HeadError, match=r"jumps: this head reads features of .* with other weights"):
        list(library.find(heads=[other]))


def test_rules_may_name_what_was_taught(library: Library, tmp_path: Path) -> None:
    people = library.teach(labels(library, tmp_path / "people.csv", "people"), "jumps").head
    clips = library.teach(labels(library, tmp_path / "clips.csv", "clips"), "is loud").head
    rules = Rules((Rule("loud jump", ("jumps", "is loud"), start_score=0.9, keep_score=0.3, merge_seconds=1),))
    found = list(events_of_archive(library, rules, "v-6", [people, clips]))
    stream = StreamEvents(rules, "v-6", 1.0)
    array = {name: np.asarray(library.array("v-6", name)[:]) for name in ("seconds", "session", "detection_clip")}
    array |= {name: np.asarray(library.array("v-6", name)[:]) for name in ("person", "boxes")}
    of_people = people.scores(np.asarray(library.array("v-6", "box_features")[:]))
    of_clips = clips.scores(np.asarray(library.array("v-6", "features")[:]))
    expected = []
    for clip, second in enumerate(array["seconds"].tolist()):
        there = []
        for row in np.flatnonzero(array["detection_clip"] == clip):
            number, box = int(array["person"][row]), tuple(round(float(side), 4) for side in array["boxes"][row])
            # The model of the archive has three classes, from id 1 on.
            scores = {Action(4, "jumps"): of_people[row], Action(5, "is loud"): of_clips[clip]}
            scores = {action: round(float(score), 4) for action, score in scores.items()}
            there.append(PersonScores(number if number >= 0 else None, box, scores))
        expected += stream.add(ClipScores("v-6", clip, second, tuple(there), int(array["session"][clip])))
    expected += stream.finish()
    assert [event.to_record() for event in found] == [event.to_record() for event in expected] != []


def test_suggestions_are_uncertain_apart_and_new(library: Library, tmp_path: Path) -> None:
    taught = library.teach(labels(library, tmp_path / "labels.csv", "clips"), "jumps")
    asked = library.suggest(10, taught=taught)
    assert len(asked) == 10 and all(one.score is not None for one in asked)
    known = set(zip(taught.examples.videos.tolist(), taught.examples.seconds.tolist(), strict=True))
    for one in asked:
        others = [other for other in asked if other != one and other.video == one.video]
        assert all(abs(other.seconds - one.seconds) >= APART_SECONDS for other in others)
        assert all(abs(second - one.seconds) >= APART_SECONDS for video, second in known if video == one.video)
    sure = []
    for name in [f"v-{seed}" for seed in range(VIDEOS)]:
        scores = taught.head.scores(np.asarray(library.array(name, "features")[:]))
        times = np.asarray(library.array(name, "seconds")[:])
        far = [all(abs(second - time) >= APART_SECONDS for video, second in known if video == name) for time in times]
        sure += np.abs(scores - 0.5)[far].tolist()
    assert asked[0].score is not None and abs(asked[0].score - 0.5) == pytest.approx(min(sure))
    blind = library.suggest(6, reads="people", video="v-3")
    assert len(blind) == 6 and {one.video for one in blind} == {"v-3"} and {one.score for one in blind} == {None}


def test_labels_that_fit_nothing_are_named(library: Library, tmp_path: Path) -> None:
    path = labels(library, tmp_path / "labels.csv", "clips")
    path.write_text(path.read_text() + "gone.mp4,3,,1\nv-1,1000,,1\n")
    left_out = library.teach(path, "jumps").examples.left_out
    assert len(left_out) == 2 and "gone.mp4: there is no such video" in left_out[0] and "no clip" in left_out[1]
    path.write_text("video,seconds,person,label\ngone.mp4,3,,1\nv-1,5,77,1\n")
    with pytest.raises(TeachError, match=r"no usable label 1 .*gone\.mp4"):
        library.teach(path, "jumps")
    with pytest.raises(TeachError, match="knows an action 'Sit' already"):
        library.teach(path, "Sit")
