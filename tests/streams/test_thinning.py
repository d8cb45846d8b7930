"""Where there is no time for all detections, people are followed less closely, and every clip is answered."""

from __future__ import annotations

import pytest
from torch import nn

from memvit.streams.policy import LivePolicy
from memvit.streams.thinning import NO_TRACK_FRAMES, DetectionBudget
from memvit.streams.watcher import ClipResult
from tests.people import ColourDetector
from tests.streams.fakes import Clock, Script, Video
from tests.streams.test_people import Stranger, watcher


def budget(image_seconds: float, clip_seconds: float) -> DetectionBudget:
    made = DetectionBudget(hop_seconds=1.0)
    made.measured(images=8, detection_seconds=8 * image_seconds, clips=2, model_seconds=2 * clip_seconds)
    return made


@pytest.mark.parametrize(
    ("image_seconds", "clip_seconds", "streams", "level"),
    [
        (0.01, 0.1, 1, 0),
        (0.01, 0.1, 5, 1),  # 0.16 s for a clip: 0.1 s for the model, 0.01 s for the keyframe, 0.05 s for the rest
        (0.01, 0.1, 6, 2),
        (0.01, 0.1, 7, NO_TRACK_FRAMES),
        (0.5, 0.1, 1, NO_TRACK_FRAMES),
        (0.1, 2.0, 1, NO_TRACK_FRAMES),
    ],
)
def test_there_are_as_many_detections_as_there_is_time_for(
    image_seconds: float, clip_seconds: float, streams: int, level: int
) -> None:
    assert budget(image_seconds, clip_seconds).level(track_frames=7, streams=streams) == level


def test_people_are_followed_closely_again_when_the_machine_is_faster() -> None:
    made = budget(0.5, 0.1)
    levels = []
    for _ in range(30):
        levels.append(made.level(7, 1))
        made.measured(images=1, detection_seconds=0.01, clips=1, model_seconds=0.1)
    assert levels == sorted(levels, reverse=True) and (levels[0], levels[-1]) == (NO_TRACK_FRAMES, 0)
    assert DetectionBudget(1.0).level(7, 1) == 0, "before anything is known"


@pytest.mark.parametrize("is_live", [True, False])
def test_only_a_live_stream_is_thinned_out(tiny: nn.Module, is_live: bool) -> None:
    """A detection takes ten seconds, for all that the watcher knows."""
    made = watcher(tiny, Stranger())
    made._budget.measured(images=1, detection_seconds=10.0, clips=1, model_seconds=0.1)
    reader = made.add(
        "a", "", connect=Script(Clock(), [Video(4)], is_live=is_live), is_live=is_live,
        policy=LivePolicy(max_age_seconds=1e9, fail_after_seconds=0.0),
    )  # fmt: skip
    found = []
    for event in made.events():
        if isinstance(event, ClipResult):
            found.append(event.result)
            if len(found) == 3:
                break
    made.close()
    assert [bool(result.trail) for result in found[:1]] == [not is_live]
    assert (reader.stats.thinned_track_frames > 0) == is_live
    assert reader.stats.late_clips == reader.stats.missed_clips == 0


def test_the_budget_is_known_before_the_first_clip(tiny: nn.Module) -> None:
    """Warming up runs the detector and the model, and leaves no stream behind."""
    detector = ColourDetector()
    made = watcher(tiny, detector)
    assert made._budget.level(10**9, 1) == 0
    made.warm_up()
    assert detector.batches == [1, 1]
    assert made._budget.level(10**9, 1) == NO_TRACK_FRAMES, "a detection takes some time"
    with pytest.raises(KeyError):
        made.snapshot("warming up")
