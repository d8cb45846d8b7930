"""A stretch of a video gives the clips that the whole video gives, wherever it begins."""

from __future__ import annotations

import zlib
from functools import partial
from pathlib import Path

import pytest

from memvit.types import SourceError
from memvit.video.clips.ranges import RangeReader
from memvit.video.clips.sampler import ClipSampler
from memvit.video.sources.open import open_source
from tests.video.make import busy, write, write_changing, write_images

NUMBERS = {"num_frames": 4, "frame_interval": 5, "hop_seconds": 0.5, "short_side": 48}


def reader(path: Path, first: int | None = None, stop: int | None = None, **more: float) -> RangeReader:
    opened = partial(open_source, path, **more)  # type: ignore[arg-type]
    return RangeReader(
        lambda seconds: opened(from_seconds=seconds),
        lambda: ClipSampler("v", **NUMBERS),
        first,
        stop,  # type: ignore[arg-type]
    )


def whole(path: Path, **more: float) -> dict[int, int]:
    """Number → checksum of the frames, of every clip."""
    with open_source(path, **more) as source:  # type: ignore[arg-type]
        clips = list(ClipSampler("v", **NUMBERS).clips(source))  # type: ignore[arg-type]
    return {round(clip.centre_seconds / 0.5): zlib.crc32(clip.frames.data) for clip in clips}


@pytest.mark.parametrize("kind", ["h264", "sparse keys", "slow", "gaps", "variable", "frames"])
def test_every_range_equals_that_part_of_the_whole_video(kind: str, tmp_path: Path) -> None:
    more: dict[str, float] = {}
    images = busy(160, 64, 48)
    if kind == "frames":
        path = write_images(tmp_path / "frames", range(1, 61))
        more = {"frames_per_second": 8.0, "start_seconds": 900.0}
    elif kind == "slow":
        path = write(tmp_path / "v.mkv", images[:12], rate=1)
    elif kind in ("gaps", "variable"):
        gaps = [index for index in range(400) if not 90 <= index < 250]
        kept = gaps if kind == "gaps" else sorted({index * index // 60 for index in range(12, 160)})
        path = write(tmp_path / "v.mkv", busy(len(kept), 64, 48), rate=16, pts=kept)
    else:
        path = write(tmp_path / "v.mp4", images, rate=16, g="400" if kind == "sparse keys" else "12")
    expected = whole(path, **more)
    numbers = sorted(expected)
    for first in [
        numbers[0] - 3,
        *numbers[:: max(1, len(numbers) // 7)],
        numbers[-1],
        numbers[-1] + 1,
        numbers[-1] + 20,
    ]:
        stretch = list(reader(path, first, first + 4, **more).clips())
        found = {clip.number: clip.crc32 for clip in stretch}
        assert found == {number: expected[number] for number in numbers if first <= number < first + 4}, first
        assert [clip.clip.index for clip in stretch] == list(range(len(stretch)))
        assert [clip.begins_video for clip in stretch] == [clip.number == numbers[0] for clip in stretch]


def test_without_bounds_it_is_the_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", busy(60, 64, 48), rate=16)
    assert {clip.number: clip.crc32 for clip in reader(path).clips()} == whole(path)


def test_a_missing_video_fails_with_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        next(reader(tmp_path / "none.mp4", 5).clips())


def test_every_range_equals_that_part_if_the_frame_size_changes(tmp_path: Path) -> None:
    """Each size is a session of its own, wherever reading begins."""
    path = write_changing(tmp_path / "a.ts", [(64, 48), (48, 64), (96, 48)])
    clips = list(reader(path).clips())
    numbers = [found.number for found in clips]
    assert numbers == sorted(set(numbers)) and {found.clip.session for found in clips} == {0, 1, 2}
    assert {found.clip.frames.shape[1:3] for found in clips} == {(48, 64), (64, 48), (48, 96)}
    checksums = [(found.number, found.crc32) for found in clips]
    for index in range(0, len(clips), 3):
        part = reader(path, numbers[index]).clips()
        assert [(found.number, found.crc32) for found in part] == checksums[index:]
