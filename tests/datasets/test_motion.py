"""The set is what it says: the same seed begins alike in every direction, so a single frame tells nothing."""

from __future__ import annotations

import numpy as np

from memvit.datasets.motion import DIRECTIONS, render


def test_only_time_tells_the_direction() -> None:
    videos = {direction: render(5, direction) for direction in DIRECTIONS}
    first = [frames[0] for frames in videos.values()]
    assert all(np.array_equal(first[0], frame) for frame in first)
    assert not np.array_equal(videos["left"][-1], videos["right"][-1])
    backwards = render(5, "left")[::-1]
    assert not np.array_equal(backwards[0], first[0])
