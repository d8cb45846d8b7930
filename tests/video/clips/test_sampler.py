"""Clips by presentation time: the reference's frames at 30 fps, the nearest ones at any other rate."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memvit.types import Clip, DetectionSize, Image
from memvit.video.clips.sampler import ClipSampler, preview_size, short_side_size


class FakeFrame:
    """A frame that tells its index by its pixels and counts what it is asked for."""

    def __init__(self, index: int, pts_seconds: float, width: int = 8, height: int = 6) -> None:
        self.index, self.pts_seconds, self.width, self.height = index, pts_seconds, width, height
        self.received_at = 0.0
        self.container_seconds = self.captured_unix = None
        self.asked: list[tuple[int, int]] = []

    def rgb(self, width: int | None = None, height: int | None = None) -> Image:
        size = width or self.width, height or self.height
        self.asked.append(size)
        value = np.array([self.index & 255, self.index >> 8 & 255, self.index >> 16], np.uint8)
        return np.broadcast_to(value, (size[1], size[0], 3)).copy()


def index_of(image: Image) -> int:
    return int(image[0, 0, 0]) + 256 * int(image[0, 0, 1]) + 65536 * int(image[0, 0, 2])


def indices(clip: Clip) -> list[int]:
    return [index_of(image) for image in clip.frames]


def frames_at(times: Iterable[float], **size: int) -> list[FakeFrame]:
    return [FakeFrame(index, float(time), **size) for index, time in enumerate(times)]


def sampler(num_frames: int = 4, frame_interval: int = 2, hop_seconds: float = 1.0, **others: object) -> ClipSampler:
    return ClipSampler(
        "s",
        num_frames=num_frames,
        frame_interval=frame_interval,
        hop_seconds=hop_seconds,
        **({"short_side": 2} | others),  # type: ignore[arg-type]
    )


def nearest(times: list[float], instant: float) -> int:
    """The rule, spelled out: nearest, the earlier of two, clamped."""
    return min(range(len(times)), key=lambda i: (round(abs(times[i] - instant), 5), i))


def reference(centre: int, num_frames: int, frame_interval: int) -> list[int]:
    """The released code's `range(c - half, c + half, rate)`; where that comes out one short (odd T), one more."""
    half = num_frames * frame_interval // 2
    expected = list(range(centre - half, centre + half, frame_interval))
    return (
        expected if len(expected) == num_frames else [*expected, expected[-1] + frame_interval if expected else centre]
    )


FOR_A_DETECTOR = DetectionSize(3, 100)
SHAPES = [(16, 4, 1.0), (32, 3, 1.0), (8, 4, 0.5), (5, 3, 1 / 3), (1, 1, 1.0), (40, 3, 2.0), (16, 4, 8.0), (7, 1, 0.1)]


@pytest.mark.parametrize(("num_frames", "frame_interval", "hop_seconds"), SHAPES)
@pytest.mark.parametrize("count", [1, 7, 301])
def test_at_30_fps_the_frames_are_the_reference_s(
    num_frames: int, frame_interval: int, hop_seconds: float, count: int
) -> None:
    for time_base in (Fraction(1, 90_000), Fraction(1, 1000)):
        times = [round(Fraction(i, 30) / time_base) * time_base for i in range(count)]
        clips = list(sampler(num_frames, frame_interval, hop_seconds).clips(frames_at(map(float, times))))
        centres = range(0, count, round(hop_seconds * 30))
        assert [indices(clip) for clip in clips] == [
            np.clip(reference(centre, num_frames, frame_interval), 0, count - 1).tolist() for centre in centres
        ]
        assert [clip.index for clip in clips] == list(range(len(centres)))
        assert [clip.centre_seconds for clip in clips] == pytest.approx([centre / 30 for centre in centres])


def vfr(seed: int = 0) -> list[float]:
    return np.cumsum(np.random.default_rng(seed).choice([0.01, 0.033, 0.04, 0.1, 0.4], 120)).tolist()


RATES = {
    "25": [i / 25 for i in range(200)],
    "59.94": [i * 1001 / 60_000 for i in range(400)],
    "6": [i / 6 for i in range(60)],
    "23.976": [round(i * 1001 / 24) / 1000 for i in range(200)],
    "vfr": [time - vfr()[0] for time in vfr()],
}


@pytest.mark.parametrize("times", RATES.values(), ids=RATES.keys())
@pytest.mark.parametrize(("num_frames", "frame_interval", "hop_seconds"), SHAPES)
def test_at_any_rate_the_nearest_frames_are_taken(
    times: list[float], num_frames: int, frame_interval: int, hop_seconds: float
) -> None:
    one = sampler(num_frames, frame_interval, hop_seconds)
    clips = list(one.clips(frames_at(times)))
    half = num_frames * frame_interval // 2
    assert clips
    for clip in clips:
        instants = [clip.centre_seconds + (i * frame_interval - half) / 30 for i in range(num_frames)]
        assert indices(clip) == [nearest(times, instant) for instant in instants]
        assert (clip.start_seconds, clip.end_seconds) == (times[indices(clip)[0]], times[indices(clip)[-1]])
    if one.skipped == 0:
        assert len(clips) == math.floor(times[-1] / hop_seconds + 1e-6) + 1


@given(
    steps=st.lists(st.floats(0.001, 3.0), max_size=60),
    start=st.floats(-5, 5),
    num_frames=st.integers(1, 9),
    interval=st.integers(1, 5),
    hop=st.sampled_from([0.1, 0.5, 1.0, 3.0]),
    preview=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_any_increasing_times_give_the_nearest_frames(
    steps: list[float], start: float, num_frames: int, interval: int, hop: float, preview: bool
) -> None:
    times = (start + np.cumsum([0.0, *steps])).tolist()
    frames = frames_at(times)
    one = sampler(num_frames, interval, hop, preview_width=4 if preview else None, detection_size=FOR_A_DETECTOR)
    clips = list(one.clips(frames))
    assert clips and [clip.index for clip in clips] == list(range(len(clips)))
    centres = [clip.centre_seconds for clip in clips]
    assert all(late > early for early, late in itertools.pairwise(centres))
    first, last = round(centres[0] / hop), round(centres[-1] / hop)
    assert last - first + 1 <= len(clips) + one.skipped
    assert all(len(clip.frames) == num_frames for clip in clips)
    assert all(clip.centre_image_seconds == times[nearest(times, clip.centre_seconds)] for clip in clips)
    assert all(frame.asked.count(size) <= 1 for frame in frames for size in frame.asked)
    seen = [shown.pts_seconds for clip in clips for shown in clip.preview]
    assert seen == (times if preview else [])


def test_a_clip_is_out_as_soon_as_its_last_frame_is_certain() -> None:
    one, frames = sampler(4, 2), frames_at(i / 30 for i in range(40))  # instants of clip 1: 26, 28, 30, 32
    out = {frame.index: [clip.index for clip in one.push(frame)] for frame in frames}
    assert {index: clips for index, clips in out.items() if clips} == {2: [0], 32: [1]}
    assert one.finish() == []


def test_nearness_needs_the_frame_after() -> None:
    one = sampler(1, 1, 1.0)  # its instants are the centres
    assert [one.push(frame) for frame in frames_at([0.0, 0.9])][1] == []
    (clip,) = one.push(FakeFrame(2, 1.2))
    assert indices(clip) == [1]


def test_of_two_equally_near_frames_the_earlier_is_taken() -> None:
    clips = list(sampler(1, 1, 0.25).clips(frames_at(i / 30 for i in range(31))))
    assert [indices(clip)[0] for clip in clips] == [0, 7, 15, 22, 30]


def test_every_frame_is_converted_at_most_once_and_only_if_used() -> None:
    frames = frames_at(i / 30 for i in range(300))
    clips = list(sampler(16, 4, 0.2).clips(frames))
    used = {index for clip in clips for index in indices(clip)}
    # At the end a few more were prepared for a clip whose centre never came.
    assert all(len(frame.asked) == (frame.index in used) for frame in frames[:-64])
    assert max(len(frame.asked) for frame in frames) == 1
    sparse = frames_at(i / 30 for i in range(270))
    clips = list(sampler(2, 2, 2.0).clips(sparse))
    assert sum(len(frame.asked) for frame in sparse) == len({index for clip in clips for index in indices(clip)}) == 9


def test_memory_is_bounded_over_many_frames() -> None:
    one = sampler(8, 4, 0.5)
    held = clips = 0
    for index in range(100_000):
        clips += len(one.push(FakeFrame(index, index / 30, width=2, height=2)))
        held = max(held, one.held_images)
    assert clips == 6666
    assert held <= 32
    assert one.finish() and one.held_images == 0


@pytest.mark.parametrize(
    ("start", "first_centre"), [(0.02, 0), (0.09, 0), (0.3, 1), (900.0, 900), (-0.04, 0), (-2, -2)]
)
def test_centres_are_multiples_of_the_hop(start: float, first_centre: float) -> None:
    clips = list(sampler().clips(frames_at(start + i / 30 for i in range(90))))
    assert [clip.centre_seconds for clip in clips][:2] == [first_centre, first_centre + 1]


@pytest.mark.parametrize("start", [0.0, 0.3, 7.5])
@pytest.mark.parametrize("preview_width", [None, 4])
def test_however_short_there_is_one_clip(start: float, preview_width: int | None) -> None:
    (clip,) = sampler(preview_width=preview_width).clips(frames_at([start]))
    assert indices(clip) == [0, 0, 0, 0]
    assert len(clip.preview) == (preview_width is not None)


def test_no_frames_give_no_clips() -> None:
    assert list(sampler().clips([])) == []


def test_invalid_arguments_are_refused() -> None:
    one = sampler()
    one.push(FakeFrame(0, 1.0))
    with pytest.raises(ValueError, match=r"must increase: 1\.0 s follows 1\.0 s"):
        one.push(FakeFrame(1, 1.0))
    one.finish()
    with pytest.raises(ValueError, match="finished"):
        one.push(FakeFrame(2, 2.0))
    for wrong in ({"num_frames": 0}, {"hop_seconds": 0}, {"crop": "left"}, {"preview_width": 5}):
        with pytest.raises(ValueError):
            sampler(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("preview_width", [None, 4])
def test_a_long_drop_out_skips_the_clips_without_any_frame(preview_width: int | None) -> None:
    times = [i / 30 for i in range(61)] + [10 + i / 30 for i in range(61)]
    one = sampler(16, 4, 1.0, preview_width=preview_width)
    clips = list(one.clips(frames_at(times)))
    assert [clip.centre_seconds for clip in clips] == [0, 1, 2, 10, 11, 12]
    assert [clip.index for clip in clips] == list(range(6))
    assert one.skipped == 7
    for clip in clips:
        instants = [clip.centre_seconds + (4 * i - 32) / 30 for i in range(16)]
        assert indices(clip) == [nearest(times, instant) for instant in instants]


def test_a_drop_out_shorter_than_a_clip_skips_nothing() -> None:
    times = [i / 30 for i in range(61)] + [4 + i / 30 for i in range(31)]
    one = sampler(16, 4, 0.5)
    assert [clip.centre_seconds for clip in one.clips(frames_at(times))] == [i / 2 for i in range(11)]
    assert one.skipped == 0


def test_a_jump_of_years_is_taken_at_once() -> None:
    one = sampler(hop_seconds=0.1)
    assert len(list(one.clips(frames_at([0.0, 0.1, 1e9, 1e9 + 0.1])))) == 4
    assert one.skipped == 10**10 - 2


def test_every_frame_is_in_one_preview() -> None:
    frames = frames_at((0.02 + i / 25 for i in range(94)), width=17, height=9)  # 0.02 .. 3.74 s
    clips = list(sampler(16, 4, 1.0, preview_width=8).clips(frames))
    assert [clip.centre_seconds for clip in clips] == [0, 1, 2, 3]
    shown = [[index_of(picture.image) for picture in clip.preview] for clip in clips]
    assert [index for part in shown for index in part] == list(range(94))
    for clip, (low, high) in zip(clips, [(-9, 0.5), (0.5, 1.5), (1.5, 2.5), (2.5, 9)], strict=True):
        assert all(low <= picture.pts_seconds < high for picture in clip.preview)
    assert {picture.image.shape for clip in clips for picture in clip.preview} == {(4, 8, 3)}


@pytest.mark.parametrize(
    ("source", "preview"),
    [
        ((426, 240), (640, 360)),  # enlarged, so that text is legible
        ((340, 256), (640, 482)),
        ((1920, 1080), (640, 360)),
        ((341, 607), (640, 1140)),
        ((20, 400), (64, 1280)),  # no further than to twice the width
        ((2000, 8000), (640, 2560)),
    ],
)
def test_a_preview_has_the_width_that_was_asked_for(source: tuple[int, int], preview: tuple[int, int]) -> None:
    assert preview_size(*source, 640) == preview


def test_a_preview_of_a_small_source_is_enlarged() -> None:
    (clip,) = sampler(preview_width=64).clips(frames_at([0.0], width=17, height=9))
    assert clip.preview[0].image.shape == (34, 64, 3)


def test_centre_image_is_the_nearest_frame_in_the_size_for_the_detector() -> None:
    frames = frames_at((i / 30 for i in range(60)), width=20, height=10)
    clips = list(sampler(3, 5, detection_size=DetectionSize(5, 100)).clips(frames))
    assert [index_of(clip.centre_image) for clip in clips if clip.centre_image is not None] == [0, 30]
    assert {clip.centre_image.shape for clip in clips if clip.centre_image is not None} == {(5, 10, 3)}
    assert next(iter(sampler().clips(frames_at([0.0])))).centre_image is None


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(340, 256, (297, 224)), (256, 340, (224, 297)), (9, 9, (224, 224)), (1920, 1080, (398, 224))],
)
def test_short_side(width: int, height: int, size: tuple[int, int]) -> None:
    assert short_side_size(width, height, 224) == size
    (clip,) = sampler(short_side=224).clips(frames_at([0.0], width=width, height=height))
    assert clip.frames.shape == (4, size[1], size[0], 3)
    (clip,) = sampler(short_side=224, crop="center").clips(frames_at([0.0], width=width, height=height))
    assert clip.frames.shape == (4, 224, 224, 3)


class Ruler(FakeFrame):
    """Every pixel holds its column and row."""

    def rgb(self, width: int | None = None, height: int | None = None) -> Image:
        assert width is not None and height is not None
        rows, columns = np.mgrid[:height, :width].astype(np.uint8)
        return np.stack([columns, rows, rows], axis=-1)


@pytest.mark.parametrize(("width", "height", "corner"), [(17, 10, (4, 0)), (10, 17, (0, 4)), (18, 10, (4, 0))])
def test_centre_crop_is_the_reference_s(width: int, height: int, corner: tuple[int, int]) -> None:
    """The offset is ceil((long - short) / 2)."""
    (clip,) = sampler(short_side=10, crop="center").clips([Ruler(0, 0.0, width, height)])
    assert tuple(clip.frames[0, 0, 0, :2]) == corner
    assert clip.frames.shape[1:3] == (10, 10)


def test_a_change_of_resolution_keeps_the_size() -> None:
    frames = [FakeFrame(i, i / 30, *((16, 8) if i < 30 else (8, 8))) for i in range(60)]
    clips = list(sampler(16, 4, 0.5, short_side=4, preview_width=4).clips(frames))
    assert {clip.frames.shape for clip in clips} == {(16, 4, 8, 3)}
    assert {picture.image.shape for clip in clips for picture in clip.preview} == {(2, 4, 3)}


def test_a_clip_knows_the_size_of_the_frames_that_it_shows_whole() -> None:
    times = [index / 30 for index in range(40)]
    (whole, *_) = sampler(short_side=3).clips(frames_at(times, width=9, height=6))
    assert whole.source_size == (9, 6) and whole.frames.shape[1:3] == (3, 4)
    (cut_out, *_) = sampler(short_side=3, crop="center").clips(frames_at(times, width=9, height=6))
    assert cut_out.source_size is None
