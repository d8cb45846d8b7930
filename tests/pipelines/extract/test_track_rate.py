"""People are followed between keyframes: numbers and sightings do not depend on segments or kills."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zarr

from memvit.datasets.long_cue import Scene, render
from memvit.engine.people import PeopleFinder
from memvit.models import MODELS
from memvit.store import Archive
from memvit.types import Clip, TrackFrame
from memvit.video.clips.ranges import NumberedClip
from memvit.video.clips.sampler import ClipSampler, sampling_for
from memvit.video.sources.open import open_source
from pipelines.extract.segment import SegmentRun
from pipelines.extract.tasks import ExtractOptions, ExtractTask
from tests.people import ColourDetector
from tests.video.make import write

from .archives import differences, killed_after, run, small_video

SECONDS = 16
RATE = 4


class FaintDetector(ColourDetector):
    """Gives the second box of a frame a low score."""

    def detect(self, images: Any) -> Any:
        found = super().detect(images)
        for boxes in found:
            boxes.scores[1:2] = 0.3
        return found


@pytest.fixture(scope="module")
def detector() -> Any:
    patch = pytest.MonkeyPatch()
    patch.setattr("memvit.engine.settings.open_people", lambda engine, spec, **options: FaintDetector())
    yield
    patch.undo()


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of three actors."""
    folder = tmp_path_factory.mktemp("rate")
    small_video(folder / "v.mp4", seed=1, seconds=SECONDS)
    return folder


def words(tiny_file: Path, out: Path, videos: Path) -> list[object]:
    model = ["--model", "memvit_tiny_8x4", "--checkpoint", tiny_file, "--boxes", "colour"]
    return ["extract", videos, "--out", out, *model, "--track-rate", RATE]


@pytest.fixture(scope="module")
def whole(detector: None, videos: Path, tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "a.zarr"
    assert run(*words(tiny_file, out, videos))[0] == 0
    return out


def arrays_of(archive: Path) -> dict[str, np.ndarray]:
    opened = Archive.open(str(archive))
    state = next(opened.videos())
    group = opened.group(state.id)
    return {name: np.asarray(group[name][:]) for name in group if isinstance(group[name], zarr.Array)}  # type: ignore[index]


def test_sightings_lie_between_the_keyframes(whole: Path) -> None:
    found = arrays_of(whole)
    times = found["frame_seconds"]
    assert len(times) > 0.9 * RATE * SECONDS and (np.diff(times) > 0).all() and np.diff(times).max() < 1.5 / RATE
    assert set(np.diff(found["sighting_frame"])) <= {0, 1} and found["sighting_frame"][-1] == len(times) - 1
    rows = np.flatnonzero(found["sighting_detection"] >= 0)
    assert np.array_equal(found["sighting_detection"][rows], np.arange(len(found["boxes"])))
    for name in ("boxes", "person"):
        assert np.array_equal(found[f"sighting_{name}"][rows], found[name]), name
    seconds = found["seconds"][found["detection_clip"]]
    assert np.abs(times[found["sighting_frame"][rows]] - seconds).max() < 0.1
    assert (found["sighting_scores"][rows] > 0.5).all() and (found["sighting_scores"] == np.float32(0.3)).any()
    assert (found["box_scores"] > 0.5).all() and "appearance" not in found


def test_the_archive_says_how_often_people_were_looked_for(whole: Path, videos: Path, tiny_file: Path) -> None:
    archive = Archive.open(str(whole))
    (state,) = archive.videos()
    found = arrays_of(whole)
    assert archive.provenance.tracking["track_rate"] == RATE and archive.damaged(state) == []
    assert (state.frames, state.sightings) == (len(found["frame_seconds"]), len(found["sighting_boxes"]))
    code, output = run(*words(tiny_file, whole, videos)[:-1], 8)
    assert code == 1 and "another tracking (track rate 4.0, now 8.0)" in output


def test_an_archive_has_the_numbers_of_watching(whole: Path, videos: Path) -> None:
    finder, numbers = PeopleFinder(FaintDetector()), []
    sampling = sampling_for(MODELS["memvit_tiny_8x4"].preprocessing, 1.0)
    sampler = ClipSampler("v", **sampling, detection_size=FaintDetector.detection_size, track_frames_per_second=RATE)
    with open_source(videos / "v.mp4") as source:
        for clip in sampler.clips(source):
            people = finder.find([clip])
            finder.commit(people)
            assert people[0].boxes.persons is not None
            numbers += people[0].boxes.persons.tolist()
    assert arrays_of(whole)["person"].tolist() == numbers and len(set(numbers)) > 1


@pytest.mark.parametrize("kill_after", [None, 3])
def test_four_segments_and_a_killed_job_see_what_one_run_sees(
    kill_after: int | None, whole: Path, videos: Path, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.zarr"
    command = [*words(tiny_file, out, videos), "--segment", SECONDS / 4, "--commit", 2]
    if kill_after is not None:
        with killed_after(kill_after, monkeypatch):
            run(*command)
    assert run(*command)[0] == 0
    assert differences(whole, out) == []


def test_gaps_and_segments_do_not_change_what_is_seen(
    detector: None, videos: Path, tiny_file: Path, tmp_path: Path
) -> None:
    """Frames of before a gap count for no later clip, wherever a segment begins."""
    scene = Scene(seed=1, seconds=SECONDS, width=96, height=64, frames_per_second=12)
    kept = [index for index in range(12 * SECONDS) if not (67 <= index < 110)]
    images = [render(scene, index / 12) for index in kept]
    (tmp_path / "gaps").mkdir()
    write(tmp_path / "gaps" / "v.mkv", images, rate=12, pts=kept)
    for name, more in {"whole": [], "cut": ["--segment", 4, "--commit", 3]}.items():
        command = words(tiny_file, tmp_path / f"{name}.zarr", tmp_path / "gaps")
        assert run(*command, "--no-memory", *more)[0] == 0
    assert differences(tmp_path / "whole.zarr", tmp_path / "cut.zarr") == []


def test_only_frames_of_the_last_hop_count_for_a_clip() -> None:
    """A frame from before a gap would not be read if the segment began after the gap; and nobody follows a warm-up."""
    work: Any = SimpleNamespace(parts=[], warm_up={}, next_number=None, snapshot=lambda: None)
    engine: Any = SimpleNamespace(forget=lambda key: None, reach_clips=1)
    task = ExtractTask("v", "v.mp4", 0, 9, None)
    run = SegmentRun(task, work, engine, ExtractOptions(track_rate=RATE), np.float32)
    run.prepare()
    image = np.zeros((12, 16, 3), np.uint8)
    for number, kept in ((8, []), (9, [8.25, 8.75])):
        frames = tuple(TrackFrame(number + offset, image) for offset in (-5.0, -0.75, -0.25))
        clip = Clip("v", 0, float(number), 0.0, 0.0, image[None], track_frames=frames)
        found = run.admit(NumberedClip(clip, number, 0, begins_video=False, begins_session=False))
        assert found is not None and [frame.pts_seconds for frame in found.track_frames] == kept
