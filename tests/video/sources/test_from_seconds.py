"""Entering a file in the middle gives the frames of a reading from the start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from memvit.video.clips.pick import pick_frames
from memvit.video.sources.open import open_source
from tests.video.make import busy, counted, number_of, write


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("h264.mp4", "libx264", {"g": "24", "bf": "3"}),
        ("one-key-frame.mp4", "libx264", {"g": "1000"}),
        ("open-gop.ts", "libx264", {"g": "24", "bf": "3", "x264-params": "open-gop=1"}),
        ("h265.mkv", "libx265", {"x265-params": "keyint=24:log-level=none"}),
        ("mpeg4.avi", "mpeg4", {"g": "12"}),
        ("vp9.webm", "libvpx-vp9", {"g": "30"}),
    ],
)
def test_same_frames_same_times(name: str, codec: str, options: dict[str, str], tmp_path: Path) -> None:
    path = write(tmp_path / name, busy(150, 64, 48), codec=codec, **options)
    with open_source(path) as source:
        whole = [(frame.pts_seconds, frame.rgb()) for frame in source]
    for from_seconds in (0.5, 2.01, 3.37, 4.9):
        expected = [pair for pair in whole if pair[0] >= from_seconds - 1e-6]
        with open_source(path, from_seconds=from_seconds) as source:
            found = [(frame.pts_seconds, frame.rgb()) for frame in source]
        assert [pts for pts, _ in found] == pytest.approx([pts for pts, _ in expected]), from_seconds
        assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(found, expected, strict=True)), from_seconds


def test_beyond_the_end_is_the_last_frame(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", counted(45))
    with open_source(path, from_seconds=60) as source:
        assert [number_of(frame.rgb()) for frame in source] == [44]


def test_a_folder_of_frames(tmp_path: Path) -> None:
    from PIL import Image

    for number, image in enumerate(counted(12), 1):
        Image.fromarray(image).save(tmp_path / f"v_{number:06d}.png")
    with open_source(tmp_path, frames_per_second=2, start_seconds=900, from_seconds=903.4) as source:
        frames = [(frame.pts_seconds, number_of(frame.rgb())) for frame in source]
    assert frames == [(903.5 + i / 2, 7 + i) for i in range(5)]


def test_picking_takes_the_nearest_and_stops(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", counted(60))
    with open_source(path) as source:
        picked = pick_frames(source, [0.0, 0.34, 0.34, 1.0, 1.017])
        assert [number_of(frame.rgb()) for frame in picked] == [0, 10, 10, 30, 31]
        assert source.counts.frames <= 33, "no more than needed"
    with open_source(path) as source:
        assert [number_of(frame.rgb()) for frame in pick_frames(source, [1.9, 7.0])] == [57, 59]
