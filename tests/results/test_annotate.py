"""The annotated video, opened again: its frames, its times, and what is painted where."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from memvit.labels import Labels
from memvit.results.annotate import AnnotatedVideoWriter, overlaps
from memvit.results.result import Result
from memvit.types import Clip, MemvitError, PersonBoxes, PreviewFrame
from memvit.video.writer import VideoWriter

LABELS = Labels(tuple(f"a rather long name of action number {number}" for number in range(8)), 1)


def gray_clip(index: int, size: tuple[int, int] = (240, 320), frames: int = 6) -> Clip:
    image = np.full((*size, 3), 120, dtype=np.uint8)
    times = [index + frame / frames + (0.05 if frame == 3 else 0) for frame in range(frames)]  # not evenly spaced
    preview = tuple(PreviewFrame(time, image) for time in times)
    return Clip("v", index, index + 0.5, index, index + 0.9, np.zeros((1, 8, 8, 3), np.uint8), preview=preview)


def result(index: int, boxes: list[list[float]], offsets: tuple[float, ...] = ()) -> Result:
    people = PersonBoxes(np.array(boxes, dtype=np.float32).reshape(-1, 4), np.ones(len(boxes), np.float32))
    scores = np.linspace(0.9, 0.1, 8, dtype=np.float32)[None].repeat(len(boxes), 0)
    return Result(
        "v", index, index + 0.5, index, index + 0.9, people, scores, len(offsets), offsets, max(offsets, default=0)
    )


def read(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name in {"h264", "mpeg4"}
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def test_all_frames_with_their_times(tmp_path: Path) -> None:
    clips = [gray_clip(index) for index in range(3)]
    with AnnotatedVideoWriter(tmp_path / "out.mp4", labels=LABELS) as video:
        for index, clip in enumerate(clips):
            video.write(clip, result(index, [[0.5, 0.3, 0.8, 0.7]]))
    frames = read(tmp_path / "out.mp4")
    expected = [frame.pts_seconds for clip in clips for frame in clip.preview]
    np.testing.assert_allclose([time for time, _ in frames], expected, atol=1e-4)


@pytest.mark.parametrize("size", [(240, 320), (720, 1280), (361, 203)])
def test_box_text_and_strip_are_painted_inside_the_frame(size: tuple[int, int], tmp_path: Path) -> None:
    with AnnotatedVideoWriter(tmp_path / "out.mp4", labels=LABELS) as video:
        video.write(gray_clip(0, size), result(0, [[0.5, 0.4, 0.8, 0.8]], (2.0, 4.0)))
    _, image = read(tmp_path / "out.mp4")[2]
    height, width = size[0] // 2 * 2, size[1] // 2 * 2
    assert image.shape == (height, width, 3)
    changed = np.abs(image.astype(int) - 120).max(axis=2) > 40
    edge = changed[round(0.6 * height), round(0.5 * width) - 1 : round(0.5 * width) + 5]
    assert edge.any(), "the left edge of the box"
    assert changed[-3:].mean() > 0.9, "the strip at the bottom"
    assert changed[:8, :20].mean() > 0.5, "the time"
    assert not changed[round(0.6 * height), round(0.9 * width) :].any(), "nothing elsewhere"


def test_labels_of_people_do_not_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import memvit.results.annotate as draw

    seen: list[tuple[float, float, float, float]] = []
    paint = draw.draw_lines

    def spy(canvas: object, font: object, rectangle: tuple[float, float, float, float], *rest: object) -> None:
        seen.append(rectangle)
        paint(canvas, font, rectangle, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(draw, "draw_lines", spy)
    with AnnotatedVideoWriter(tmp_path / "out.mp4", labels=LABELS) as video:
        video.write(
            gray_clip(0, (480, 640)), result(0, [[0.1, 0.3, 0.3, 0.8], [0.15, 0.32, 0.35, 0.8], [0.6, 0, 1, 1]])
        )
    assert len(seen) == 3
    for x1, y1, x2, y2 in seen:
        assert 0 <= x1 < x2 <= 640 and 0 <= y1 < y2 <= 480
    assert not any(overlaps(first, second) for first, second in pairwise(seen))


def test_a_clip_classifier_and_an_empty_scene(tmp_path: Path) -> None:
    with AnnotatedVideoWriter(tmp_path / "out.mp4", labels=LABELS) as video:
        video.write(gray_clip(0), result(0, []))
        whole = Result("v", 1, 1.5, 1.0, 1.9, None, np.linspace(1, 0, 8, dtype=np.float32)[None])
        video.write(gray_clip(1), whole)
    frames = read(tmp_path / "out.mp4")
    assert len(frames) == 12
    assert np.abs(frames[-1][1].astype(int) - frames[0][1]).max() > 60


def test_a_file_closed_early_is_playable(tmp_path: Path) -> None:
    video = AnnotatedVideoWriter(tmp_path / "out.mp4", labels=LABELS)
    video.write(gray_clip(0), result(0, [[0, 0, 1, 1]]))
    video.close()
    video.close()
    assert len(read(tmp_path / "out.mp4")) == 6


def test_unwritable_video_file_is_refused_with_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MemvitError, match="the video cannot be written"):
        VideoWriter(tmp_path / "no" / "out.mp4")


def test_frames_whose_times_do_not_increase_are_skipped(tmp_path: Path) -> None:
    image = np.zeros((33, 47, 3), dtype=np.uint8)
    with VideoWriter(tmp_path / "out.mp4") as video:
        for time in (5.0, 5.04, 5.04, 5.01, 5.5):
            video.write(image, time)
    frames = read(tmp_path / "out.mp4")
    np.testing.assert_allclose([time for time, _ in frames], [0.0, 0.04, 0.5], atol=1e-4)
    assert frames[0][1].shape == (32, 46, 3)
