"""The annotated video, opened again: its frames, its times, and what is painted where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from memvit.labels import Labels
from memvit.results import annotate
from memvit.results.annotate import AnnotatedVideoWriter, Annotator
from memvit.results.colours import GROUND, MEMORY, PRESENT, Colour, person_colour, score_colour
from memvit.results.label import Line, draw_label, lines_of
from memvit.results.result import Result
from memvit.types import Clip, MemvitError, PersonBoxes, PreviewFrame
from memvit.video.writer import VideoWriter

LABELS = Labels(tuple(f"a rather long name of action number {number}" for number in range(8)), 1)


def gray_clip(index: int, size: tuple[int, int] = (240, 320), frames: int = 6) -> Clip:
    image = np.full((*size, 3), 120, dtype=np.uint8)
    times = [index + frame / frames + (0.05 if frame == 3 else 0) for frame in range(frames)]  # not evenly spaced
    preview = tuple(PreviewFrame(time, image) for time in times)
    return Clip("v", index, index + 0.5, index, index + 0.9, np.zeros((1, 8, 8, 3), np.uint8), preview=preview)


def result(
    index: int, boxes: list[list[float]], offsets: tuple[float, ...] = (), persons: list[int] | None = None
) -> Result:
    people = PersonBoxes(
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.ones(len(boxes), np.float32),
        None if persons is None else np.array(persons, dtype=np.int64),
    )
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


@pytest.mark.parametrize("size", [(240, 320), (720, 1280), (361, 203), (256, 340), (2160, 3840)])
def test_the_strip_is_below_the_picture_which_is_not_touched_there(size: tuple[int, int]) -> None:
    height, width = size
    clip = gray_clip(0, size, frames=1)
    short = Labels(tuple("abcdefgh"), 1)
    found = result(0, [[0.5, 0.4, 0.75, 0.75]], (2.0, 4.0), persons=[3])
    (picture,) = Annotator(short, top_k=1).pictures(clip, found)
    strip = picture.image[height:]
    assert picture.image.shape[1] == width and picture.image.shape[0] % 2 == 0
    assert 20 <= len(strip) <= 0.2 * height, "high enough for the text, and no large part of the picture"
    assert (strip == MEMORY).all(axis=2).any() and (strip == PRESENT).all(axis=2).any()
    assert (strip == GROUND).all(axis=2).mean() > 0.3
    changed = (picture.image[:height] != 120).any(axis=2)
    x, y = round(0.5 * width), round(0.6 * height)
    assert (picture.image[y, x : x + 2] == person_colour(3)).all(), "the left edge of the box"
    assert not changed[:, round(0.95 * width) :].any() and not changed[: round(0.05 * height), : x // 2].any()
    assert not changed[-1].any(), "the foot of the picture"


def test_colours_are_those_of_the_scheme_and_a_box_without_a_person_is_thin_and_grey() -> None:
    boxes = [[0.125, 0.5, 0.25, 0.75], [0.5, 0.5, 0.625, 0.75], [0.75, 0.5, 0.875, 0.75]]
    (picture,) = Annotator(LABELS, top_k=1).pictures(
        gray_clip(0, (360, 640), frames=1), result(0, boxes, persons=[2, 12, -1])
    )
    for number, (x1, _, _, y2) in zip((2, 12, -1), boxes, strict=True):
        foot = picture.image[: round(y2 * 360), round((x1 + 0.05) * 640)][::-1]
        assert (foot[0] == person_colour(number)).all()
        thickness = int((foot != person_colour(number)).any(axis=1).argmax())
        assert thickness == (2 if number > 0 else 1)
    assert (picture.image == score_colour(0.9)).all(axis=2).any(), "the bar of the score"


def test_boxes_move_with_the_video_and_not_once_a_second(tmp_path: Path) -> None:
    """Every frame has the box where linear motion between the keyframes puts it, to the pixel."""
    left = [0.125, 0.25, 0.625]
    results = [result(k, [[x, 0.4, x + 0.25, 0.9]], persons=[1]) for k, x in enumerate(left)]
    seen: list[tuple[float, int]] = []

    class Catch:
        def write(self, image: np.ndarray, pts_seconds: float) -> None:
            row = (image[200, :] == person_colour(1)).all(axis=1)
            seen.append((pts_seconds, int(row.argmax())))

        def close(self) -> None: ...

    with AnnotatedVideoWriter(tmp_path / "out.mp4", labels=LABELS, min_score=1) as video:
        video._writer = Catch()  # type: ignore[assignment]
        for index, found in enumerate(results):
            video.write(gray_clip(index, (256, 640), frames=10), found)
    assert len(seen) == 30
    for seconds, x in seen:
        expected = np.interp(seconds, [0.5, 1.5, 2.5], left) * 640
        assert abs(x - expected) <= 0.5 + 1e-3, seconds
    assert len({x for _, x in seen}) > 15


def test_the_trail_moves_boxes_between_keyframes_and_who_left_is_not_drawn() -> None:
    def people(x: float, numbers: list[int]) -> PersonBoxes:
        xyxy = np.array([[x if number == 1 else 0.75, 0.4, x + 0.125, 0.9] for number in numbers], np.float32)
        xyxy[:, 2] = xyxy[:, 0] + 0.125
        return PersonBoxes(xyxy, np.ones(len(numbers), np.float32), np.array(numbers, dtype=np.int64))

    found = result(0, [[0.25, 0.4, 0.375, 0.9], [0.75, 0.4, 0.875, 0.9]], persons=[1, 2])
    trail = ((0.0, people(0.0, [1, 2])), (0.5, people(0.25, [1, 2])), (0.75, people(0.5, [1])), (1.0, people(0.5, [1])))
    pictures = list(Annotator(LABELS).pictures(gray_clip(0, (256, 640), frames=8), replace(found, trail=trail)))
    for picture in pictures:
        row = picture.image[200]
        x = int((row == person_colour(1)).all(axis=1).argmax())
        assert abs(x - 640 * np.interp(picture.pts_seconds, [0, 0.5, 0.75, 1], [0, 0.25, 0.5, 0.5])) <= 0.51
        assert (row == person_colour(2)).all(axis=1).any() == (picture.pts_seconds <= 0.625)


def test_people_do_not_move_into_another_session_or_over_missing_clips() -> None:
    first = result(0, [[0.0, 0.4, 0.25, 0.9]], persons=[1])
    second = result(1, [[0.5, 0.4, 0.75, 0.9]], persons=[1])
    for other in (replace(second, session=1), replace(second, missed_clips=3), replace(second, clip_index=5)):
        for picture in Annotator(LABELS).pictures(gray_clip(0, (256, 640)), first, other):
            assert (picture.image[200, 0] == person_colour(1)).all()


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.9, 0.5, 0.2], [("run", 0.9, False), ("sit", 0.5, False)]),
        ([0.1, 0.29, 0.2], [("sit", 0.29, True)]),
        ([0.1, 0.3, 0.2], [("sit", 0.3, False)]),
    ],
)
def test_actions_above_the_threshold_or_the_best_one_faintly(
    scores: list[float], expected: list[tuple[str, float, bool]]
) -> None:
    lines = lines_of(np.array(scores), Labels(("run", "sit", "wave")), 3, 0.3)
    assert [(line.name, line.score, line.is_faint) for line in lines] == expected


def test_labels_show_number_and_score_and_fit_their_width() -> None:
    line = Line("talk to (e.g., self, a person, a group)", 0.5)
    label = draw_label(3, person_colour(3), (line,), 14, 200)
    assert label.shape[1] <= 200
    assert (label[0, 0, :3] == person_colour(3)).all() and label[0, 0, 3] == 255
    bar = (label[..., :3] == score_colour(0.5)).all(axis=2)
    columns = np.flatnonzero(bar.any(axis=0))
    full = label.shape[1] - columns[0] - 4
    assert abs((columns[-1] - columns[0] + 1) - 0.5 * full) <= 2, "the bar is as long as the score"
    wide = draw_label(123, person_colour(3), (line,), 14, 200)
    assert (wide[..., :3] == person_colour(3)).all(axis=2).sum() > (label[..., :3] == person_colour(3)).all(
        axis=2
    ).sum()


@pytest.mark.parametrize("size", [(360, 640), (1080, 1920)])
def test_in_a_crowd_labels_are_smaller_and_leave_the_picture_visible(size: tuple[int, int]) -> None:
    columns, rows = np.meshgrid(np.linspace(0.02, 0.9, 6), np.linspace(0.05, 0.7, 4))
    boxes = [[x, y, x + 0.05, y + 0.2] for x, y in zip(columns.flat, rows.flat, strict=True)]
    (picture,) = Annotator(LABELS).pictures(
        gray_clip(0, size, frames=1), result(0, boxes, persons=list(range(1, len(boxes) + 1)))
    )
    assert (picture.image[: size[0]] == 120).all(axis=2).mean() > 0.7
    for number in range(1, 11):
        assert (picture.image == person_colour(number)).all(axis=2).any()


def test_what_is_true_is_shown_beside_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: dict[int | None, tuple[Line, ...]] = {}

    def spy(number: int | None, colour: Colour, lines: tuple[Line, ...], *rest: int) -> np.ndarray:
        shown[number] = lines
        return draw_label(number, colour, lines, *rest)

    monkeypatch.setattr(annotate, "draw_label", spy)
    annotator = Annotator(LABELS, top_k=1, notes=lambda person, seconds: f"true: {seconds:g}" if person == 1 else "")
    boxes = [[0.1, 0.4, 0.3, 0.9], [0.6, 0.4, 0.8, 0.9]]
    list(annotator.pictures(gray_clip(2), result(2, boxes, persons=[1, 2])))
    assert shown[1][1:] == (Line("true: 2.5"),) and len(shown[2]) == 1


def test_where_nobody_tracks_people_have_colours_and_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: list[int | None] = []

    def spy(number: int | None, *rest: Any) -> np.ndarray:
        numbers.append(number)
        return draw_label(number, *rest)

    monkeypatch.setattr(annotate, "draw_label", spy)
    annotator = Annotator(LABELS)
    first, second = result(0, [[0.1, 0.4, 0.3, 0.9]]), result(1, [[0.6, 0.4, 0.8, 0.9], [0.12, 0.4, 0.32, 0.9]])
    list(annotator.pictures(gray_clip(0), first, second))
    picture = list(annotator.pictures(gray_clip(1), second))[3]
    assert set(numbers) == {None}
    row = picture.image[round(0.6 * 240)]
    assert (row[round(0.12 * 320) + 1] == person_colour(1)).all() and (row[round(0.6 * 320)] == person_colour(2)).all()


def test_a_clip_classifier_and_an_empty_scene(tmp_path: Path) -> None:
    with AnnotatedVideoWriter(tmp_path / "out.mp4", labels=LABELS) as video:
        video.write(gray_clip(0), result(0, []))
        whole = Result("v", 1, 1.5, 1.0, 1.9, None, np.linspace(1, 0, 8, dtype=np.float32)[None])
        video.write(gray_clip(1), whole)
    frames = read(tmp_path / "out.mp4")
    assert len(frames) == 12
    assert np.abs(frames[-1][1].astype(int) - frames[0][1]).max() > 60
    (picture,) = Annotator(LABELS).pictures(gray_clip(1, frames=1), whole)
    assert (picture.image[:240] == 120).all(), "the actions of a whole clip are in the strip"
    assert (picture.image[240:] == score_colour(1.0)).all(axis=2).any()


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
