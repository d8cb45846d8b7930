"""LongCount: what is shown and what is counted fit each other, and the files are those of AVA."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from memvit.datasets.ava import read_annotations
from memvit.datasets.ava_files import read_label_map, read_table
from memvit.datasets.long_count import COUNTS, MOST, CountScene, write_long_count
from memvit.datasets.long_cue import Scene
from tools.make_long_count import chance


def test_an_action_counts_the_discs_that_were_shown_before() -> None:
    counts = set()
    for seed in range(6):
        scene = CountScene(seed, seconds=70)
        for actor in range(scene.actors):
            starts = [
                moment
                for moment in range(1, 700)
                if scene.cue_shown(actor, moment / 10) is not None and scene.cue_shown(actor, (moment - 1) / 10) is None
            ]
            for second in scene.keyframes:
                action = scene.action(actor, second)
                clip = np.arange(second - 0.55, second + 0.55, 0.05)
                is_shown = any(scene.cue_shown(actor, float(instant)) is not None for instant in clip)
                if action is not None and action > 1:
                    assert not is_shown and action - 1 == sum(start / 10 < second for start in starts)
                    counts.add(action - 1)
                elif action == 1:
                    assert is_shown
    assert counts == set(range(1, MOST + 1))


def test_files_are_those_of_ava(tmp_path: Path) -> None:
    scenes = [CountScene(seed, seconds=12, width=32, height=32, pause_seconds=5) for seed in range(3)]
    write_long_count(tmp_path, {"val": scenes})
    assert read_label_map(tmp_path / "counts.pbtxt") == dict(enumerate(COUNTS, 2))
    (video, *_) = read_annotations([tmp_path / "val.csv"], num_classes=1 + MOST)
    assert len(video.keyframes) == 11 and (tmp_path / "videos" / f"{video.name}.mp4").stat().st_size > 0
    found = chance(read_table(tmp_path / "val.csv"), read_label_map(tmp_path / "counts.pbtxt"), draws=5)
    assert 0.05 < found < 0.9


def test_actors_move_as_in_long_cue() -> None:
    assert np.array_equal(CountScene(3).boxes(7.5), Scene(3).boxes(7.5))
