"""People of real videos keep their number: from clip to clip, over a restart, until the memory ends."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from memvit.boxes import BoxSource
from memvit.datasets.long_cue import Scene, write_video
from memvit.engine.engine import Engine
from memvit.engine.snapshot import StreamSnapshot
from memvit.models import MODELS
from memvit.results.result import Result
from memvit.streams.session import Resumption
from memvit.streams.watcher import ClipResult, Watcher
from memvit.types import DetectionSize, Image, PersonBoxes
from memvit.video.sources.open import open_source
from tests.people import ColourDetector, HidingScene
from tests.streams.fakes import Clock, Script, Video

SCENE = Scene(seed=7, seconds=8, width=128, height=128, frames_per_second=16)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("people") / "scene.mp4"
    write_video(SCENE, path)
    return path


def watcher(tiny: nn.Module, detector: BoxSource | None = None, **options: float) -> Watcher:
    engine = Engine(tiny, MODELS["memvit_tiny_8x4"].preprocessing)  # type: ignore[arg-type]
    return Watcher(engine, detector or ColourDetector(), **options)  # type: ignore[arg-type]


def results(made: Watcher, count: int | None = None) -> list[Result]:
    found = []
    for event in made.events():
        if isinstance(event, ClipResult):
            found.append(event.result)
            if len(found) == count:
                break
    return found


def persons(result: Result) -> list[int]:
    assert result.boxes is not None and result.boxes.persons is not None
    return result.boxes.persons.tolist()


def actors(result: Result, scene: Scene = SCENE) -> list[int]:
    """The actor of the scene that each box is nearest to."""
    assert result.boxes is not None
    middles = (result.boxes.xyxy[:, :2] + result.boxes.xyxy[:, 2:]) / 2
    wanted = scene.centres(result.centre_seconds) / scene.size
    return np.linalg.norm(middles[:, None] - wanted[None], axis=2).argmin(axis=1).tolist()


@pytest.mark.parametrize("hop_seconds", [1.0, 2.0])
def test_three_actors_have_three_numbers(tiny: nn.Module, video: Path, hop_seconds: float) -> None:
    made = watcher(tiny, hop_seconds=hop_seconds)
    made.add("scene", str(video))
    found = results(made)
    assert len(found) == SCENE.seconds / hop_seconds
    pairs = {pair for result in found for pair in zip(actors(result), persons(result), strict=True)}
    assert len(pairs) == 3 and {person for _, person in pairs} == {1, 2, 3}


@pytest.mark.parametrize("hop_seconds", [1.0, 2.0])
def test_an_actor_who_was_hidden_for_three_seconds_is_the_same_person(
    tiny: nn.Module, tmp_path: Path, hop_seconds: float
) -> None:
    scene = HidingScene(seed=7, seconds=11, width=128, height=128, frames_per_second=16)
    write_video(scene, tmp_path / "scene.mp4")
    made = watcher(tiny, hop_seconds=hop_seconds)
    made.add("scene", str(tmp_path / "scene.mp4"))
    found = results(made)
    assert min(len(persons(result)) for result in found) == 2, "one was away"
    pairs = {pair for result in found for pair in zip(actors(result, scene), persons(result), strict=True)}
    assert len(pairs) == 3 and {person for _, person in pairs} == {1, 2, 3}


def test_people_are_looked_for_between_keyframes(tiny: nn.Module, video: Path) -> None:
    often, once = watcher(tiny), watcher(tiny, track_rate=0.0)
    for made in (often, once):
        made.add("scene", str(video))
    of_often, of_once = results(often), results(once)
    for one, other in zip(of_often, of_once, strict=True):
        assert one.boxes is not None and other.boxes is not None
        assert np.array_equal(one.boxes.xyxy, other.boxes.xyxy) and np.array_equal(one.scores, other.scores)
        assert other.trail == ()
    times = [seconds for result in of_often for seconds, _ in result.trail]
    distinct = sorted(set(times))
    assert np.allclose(np.diff(distinct), 1 / 8) and distinct[-1] > SCENE.seconds - 1
    for result in of_often[1:]:
        assert result.trail[0][0] <= result.centre_seconds - 0.5, "pictures can move boxes from the window's start on"


def test_a_restart_in_the_middle_changes_no_number(tiny: nn.Module, video: Path) -> None:
    """With a hop of 2 s, frames of the second before belong to the first clip after the restart."""
    whole, first, second = (watcher(tiny, hop_seconds=2.0) for _ in range(3))
    whole.add("scene", str(video))
    wanted = results(whole)
    count = len(wanted) // 2
    first.add("scene", str(video))
    last = results(first, count)[-1]
    snapshot = StreamSnapshot.from_bytes(first.snapshot("scene").to_bytes())
    first.close()
    second.restore("scene", snapshot)
    second.add(
        "scene",
        "",
        connect=partial(open_source, video, from_seconds=last.centre_seconds),
        is_live=False,
        resumption=Resumption(snapshot.next_index, 0, last.centre_seconds, 0.0),
    )
    found = results(second)
    assert [result.clip_index for result in found] == list(range(count, len(wanted)))
    for place, (one, other) in enumerate(zip(found, wanted[count:], strict=True)):
        assert persons(one) == persons(other)
        assert np.array_equal(one.scores, other.scores)
        known = [seconds for seconds, _ in other.trail]
        assert [seconds for seconds, _ in one.trail] == known[place == 0 :], "the last frame before is not saved"


class Stranger:
    """A detector that finds one box, in each image in quite another place: always somebody new."""

    detection_size, score_threshold = DetectionSize(32, 64), 0.5

    def __init__(self) -> None:
        self._seen = 0

    def boxes(self, clips: Sequence[object]) -> list[PersonBoxes]:
        raise NotImplementedError

    def detect(self, images: Sequence[Image]) -> list[PersonBoxes]:
        found = []
        for _ in images:
            self._seen += 1
            x, y = self._seen * 37 % 10 / 12, self._seen * 7 % 10 / 12
            found.append(PersonBoxes(np.array([[x, y, x + 0.02, y + 0.05]], np.float32), np.ones(1, np.float32)))
        return found


def test_a_new_session_and_a_new_stream_begin_with_person_1(tiny: nn.Module) -> None:
    made = watcher(tiny, Stranger())
    for _ in range(2):
        script = Script(Clock(), [Video(5), Video(5, 5, size=(48, 64))], is_live=False)
        made.add("a", "", connect=script)
        found = results(made)
        first = [result.session for result in found].index(1)
        assert persons(found[0]) == persons(found[first]) == [1]
        assert max(persons(found[first - 1])) > 1


def test_a_model_that_fails_moves_no_tracker(tiny: nn.Module, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch of two streams fails, and each of its clips is answered alone."""
    made, undisturbed = watcher(tiny), watcher(tiny)
    undisturbed.add("a", str(video))
    step = made.engine.step

    def fails_together(clips: Sequence[object], boxes: object = None) -> list[Result]:
        if len(clips) > 1:
            raise RuntimeError("too many")
        return step(clips, boxes)  # type: ignore[arg-type]

    monkeypatch.setattr(made.engine, "step", fails_together)
    for name in "ab":
        made.add(name, str(video))
    found = results(made, 8)
    made.close()
    wanted = [persons(result) for result in results(undisturbed)]
    for name in "ab":
        numbers = [persons(result) for result in found if result.stream_id == name]
        assert len(numbers) >= 3 and numbers == wanted[: len(numbers)]
