"""People of clips: detected together, followed from frame to frame, numbered in the keyframe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memvit.boxes import PersonDetector, open_boxes
from memvit.datasets.long_cue import Scene, render
from memvit.engine.people import FoundPeople, PeopleFinder
from memvit.engine.snapshot import StreamSnapshot
from memvit.types import Clip, PersonBoxes, TrackFrame
from tests.people import ColourDetector

RATE = 4


def clip(scene: Scene, index: int, stream_id: str = "", *, rate: int = RATE) -> Clip:
    """A clip whose track frames are the second before its keyframe, at `rate` frames a second."""
    images = [render(scene, index + step / RATE) for step in range(1 - RATE, 1)]
    frames = [
        TrackFrame(index + step / RATE, image)
        for step, image in zip(range(1 - RATE, 0), images, strict=False)
        if step % (RATE // max(rate, 1)) == 0 and rate
    ]
    return Clip(
        stream_id or f"scene {scene.seed}",
        index,
        float(index),
        index - 1.0,
        float(index),
        images[-1][None],
        source_size=(scene.width, scene.height),
        centre_image=images[-1],
        centre_image_seconds=float(index),
        track_frames=tuple(frames),
    )


def scenes(count: int) -> list[Scene]:
    return [Scene(seed=seed, seconds=10, width=96, height=96) for seed in range(count)]


def step(finder: PeopleFinder, clips: Sequence[Clip]) -> list[FoundPeople]:
    found = finder.find(clips)
    finder.commit(found)
    return found


def same(found: FoundPeople, wanted: FoundPeople, *, first: int = 0) -> None:
    """Equal boxes and numbers in the keyframe and in the frames of the trail from the `first` one on."""
    pairs = [(found.boxes, wanted.boxes)]
    assert [seconds for seconds, _ in found.trail] == [seconds for seconds, _ in wanted.trail[first:]]
    pairs += [(one, other) for (_, one), (_, other) in zip(found.trail, wanted.trail[first:], strict=True)]
    for one, other in pairs:
        assert one.persons is not None and other.persons is not None
        assert np.array_equal(one.persons, other.persons)
        assert np.array_equal(one.xyxy, other.xyxy) and np.array_equal(one.scores, other.scores)


def test_actors_keep_their_number() -> None:
    scene = Scene(seed=3, seconds=20, width=96, height=96)
    finder = PeopleFinder(ColourDetector())
    actor_of: dict[int, int] = {}
    for index in range(20):
        (found,) = step(finder, [clip(scene, index)])
        assert found.boxes.persons is not None and len(found.boxes) == scene.actors
        centres = (found.boxes.xyxy[:, :2] + found.boxes.xyxy[:, 2:]) / 2 * scene.size
        for person, centre in zip(found.boxes.persons.tolist(), centres, strict=True):
            actor = int(np.linalg.norm(scene.centres(index) - centre, axis=1).argmin())
            assert actor_of.setdefault(person, actor) == actor
    assert sorted(actor_of) == [1, 2, 3]


def test_the_frames_of_all_streams_are_detected_together_and_give_what_each_gives_alone() -> None:
    detector = ColourDetector()
    together = PeopleFinder(detector)
    alone = [PeopleFinder(ColourDetector()) for _ in scenes(3)]
    for index in range(5):
        clips = [clip(scene, index) for scene in scenes(3)]
        for found, finder, one in zip(step(together, clips), alone, clips, strict=True):
            same(found, step(finder, [one])[0])
    assert detector.batches == [3 * RATE] * 5


def test_people_who_stand_still_are_looked_for_once_a_clip() -> None:
    """The trail has the same frames, and their boxes."""
    detector = ColourDetector()
    finder = PeopleFinder(detector)
    moving = clip(scenes(1)[0], 1)
    assert moving.centre_image is not None
    still = tuple(replace(frame, image=moving.centre_image.copy()) for frame in moving.track_frames)
    moves, stands = finder.find(
        [replace(moving, stream_id="moves"), replace(moving, stream_id="s", track_frames=still)]
    )
    assert (moves.detections, stands.detections, detector.batches) == (RATE, 1, [RATE + 1])
    assert [seconds for seconds, _ in stands.trail] == [seconds for seconds, _ in moves.trail]
    for _, boxes in stands.trail:
        assert np.array_equal(boxes.xyxy, stands.boxes.xyxy)


def test_nothing_changes_until_it_is_committed() -> None:
    disturbed, undisturbed = PeopleFinder(ColourDetector()), PeopleFinder(ColourDetector())
    (scene,) = scenes(1)
    for index in range(5):
        disturbed.find([clip(scene, index)])
        same(step(disturbed, [clip(scene, index)])[0], step(undisturbed, [clip(scene, index)])[0])


def test_a_restored_stream_goes_on_as_if_it_had_not_been_interrupted() -> None:
    """Also where frames come again that were seen before."""
    (scene,) = scenes(1)
    whole, first, second = (PeopleFinder(ColourDetector()) for _ in range(3))
    wanted = [step(whole, [clip(scene, index)])[0] for index in range(8)]
    for index in range(4):
        step(first, [clip(scene, index)])
    content = StreamSnapshot(None, 4, (), first.state("scene 0")).to_bytes()
    state = StreamSnapshot.from_bytes(content).tracker
    assert state is not None
    second.restore("scene 0", state)
    again = TrackFrame(3.0, render(scene, 3.0))
    clips = [clip(scene, index) for index in range(4, 8)]
    clips[0] = replace(clips[0], track_frames=(again, *clips[0].track_frames))
    for place, one in enumerate(clips):
        same(step(second, [one])[0], wanted[4 + place], first=1 if place == 0 else 0)


def test_a_forgotten_stream_begins_with_person_1() -> None:
    finder = PeopleFinder(ColourDetector())
    one, other = scenes(2)
    step(finder, [clip(one, 0, "a"), clip(other, 0, "b")])
    finder.forget("a")
    assert finder.state("a") is None and finder.state("b") is not None
    (found,) = step(finder, [clip(other, 0, "a")])
    assert found.boxes.persons is not None and sorted(found.boxes.persons) == [1, 2, 3]
    assert len(found.trail) == RATE, "and knows no earlier frame"


def test_the_trail_has_every_frame_and_the_last_one_of_the_clip_before() -> None:
    finder = PeopleFinder(ColourDetector())
    (scene,) = scenes(1)
    trails = [[seconds for seconds, _ in step(finder, [clip(scene, index)])[0].trail] for index in range(2)]
    assert trails == [[-0.75, -0.5, -0.25, 0], [0, 0.25, 0.5, 0.75, 1]]
    once = PeopleFinder(ColourDetector())
    assert [step(once, [clip(scene, index, rate=0)])[0].trail for index in range(2)] == [(), ()]


def test_a_frame_that_is_two_keyframes_is_the_same_people_twice() -> None:
    """At less than a frame a hop."""
    finder = PeopleFinder(ColourDetector())
    (scene,) = scenes(1)
    first, second = (clip(scene, 2, rate=0) for _ in range(2))
    same(step(finder, [first])[0], step(finder, [second])[0])


def test_boxes_below_the_threshold_are_not_answered() -> None:
    class Unsure(ColourDetector):
        def detect(self, images: Sequence[np.ndarray]) -> list[PersonBoxes]:
            """The first box has a low score in every second image."""
            found = super().detect(images)
            for number, boxes in enumerate(found):
                boxes.scores[:1] = 0.3 if number % 2 else 0.9
            return found

    detector = Unsure()
    assert isinstance(detector, PersonDetector)
    (found,) = PeopleFinder(detector).find([clip(scenes(1)[0], 1)])
    assert [len(boxes) for _, boxes in found.trail] == [3, 3, 3, 3]
    assert len(found.boxes) == 2 and (found.boxes.scores >= detector.score_threshold).all()
    followed = found.trail[-1][1].persons
    assert followed is not None and (followed > 0).all(), "a known person is followed by a low score"


@pytest.mark.parametrize(
    ("rows", "persons"), [(("0", "5"), [0, 5]), (("0.95", "0.99"), [1, 2]), (("", ""), [1, 2])], ids=str
)
def test_numbers_of_a_file_are_kept_and_others_are_given(
    rows: tuple[str, str], persons: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "boxes.csv"
    lines = [
        f"scene 0,{second},{0.1 + 0.5 * place},0.1,{0.3 + 0.5 * place},0.5,,{last}"
        for second in range(3)
        for place, last in enumerate(rows)
    ]
    path.write_text("\n".join(lines))
    finder = PeopleFinder(open_boxes(str(path)))
    still = clip(scenes(1)[0], 0, rate=0)
    for second in range(3):
        (found,) = step(finder, [replace(still, index=second, centre_seconds=float(second))])
        assert found.boxes.persons is not None and found.boxes.persons.tolist() == persons
    assert (finder.state("scene 0") is None) == (rows == ("0", "5"))


def test_the_whole_frame_is_person_1() -> None:
    (found,) = step(PeopleFinder(open_boxes("full")), [clip(scenes(1)[0], 0)])
    assert found.boxes.persons is not None and found.boxes.persons.tolist() == [1] and found.trail == ()


def test_a_snapshot_with_half_a_tracker_is_refused() -> None:
    finder = PeopleFinder(ColourDetector())
    step(finder, [clip(scenes(1)[0], 0)])
    state = finder.state("scene 0")
    assert state is not None
    whole = StreamSnapshot(None, 1, (0.0,), state)
    assert StreamSnapshot.from_bytes(whole.to_bytes()).tracker is not None
    assert StreamSnapshot.from_bytes(StreamSnapshot(None, 1, (0.0,)).to_bytes()).tracker is None
    half = {name: value for name, value in state.items() if name != "people"}
    with pytest.raises(ValueError, match="not a complete snapshot"):
        StreamSnapshot.from_bytes(StreamSnapshot(None, 1, (0.0,), half).to_bytes())
