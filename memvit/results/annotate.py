"""The annotated video: boxes that move with people, their numbers and actions, and a strip with time and memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from memvit.boxes.match import PersonMatcher
from memvit.labels import Labels
from memvit.results.box_motion import BoxMotion
from memvit.results.colours import Colour, person_colour
from memvit.results.label import DEFAULT_MIN_SCORE, Line, draw_label, lines_of
from memvit.results.layout import place_labels
from memvit.results.persons import with_persons
from memvit.results.result import Result
from memvit.results.strip import Strip
from memvit.results.text import font_size
from memvit.types import Clip, Image, PersonBoxes, PreviewFrame
from memvit.video.writer import VideoWriter

LABEL_WIDTH = 0.6
"""A label is at most this part of the picture wide."""


class Annotator:
    """Draws the results of one stream, clip after clip, on the clips' preview frames."""

    def __init__(
        self, labels: Labels, *, top_k: int = 3, min_score: float = DEFAULT_MIN_SCORE, text_scale: float = 1.0
    ) -> None:
        """Actions below `min_score` are not shown, except a person's best one, faintly, where none reaches it.

        `text_scale` enlarges text, for pictures that are shown smaller than they are.
        """
        self._labels, self._top_k, self._min_score, self._text_scale = labels, top_k, min_score, text_scale
        self._matcher = PersonMatcher()
        self._matched: tuple[Result, Result] | None = None
        self._before: Result | None = None
        self._places: dict[int, int] = {}

    def pictures(self, clip: Clip, result: Result, following: Result | None = None) -> Iterator[PreviewFrame]:
        """The clip's preview frames, each with the strip below it; none if the clip has no preview frames.

        With the `following` result boxes move towards it after the keyframe. Without it, and without a trail, they
        stay where the keyframe has them.
        """
        has_numbers = result.boxes is not None and result.boxes.persons is not None
        result = self._with_persons(result)
        if following is not None:
            following = self._with_persons(following) if follows(following, result) else None
        before = self._before if self._before is not None and follows(result, self._before) else None
        self._before = result
        if not clip.preview:
            return
        height, width, _ = clip.preview[0].image.shape
        lines = self._lines(result)
        strip = Strip(width, height, self._size(width, height), has_lines=result.boxes is None)
        below = strip.draw(result, lines.get(0, ()) if result.boxes is None else ())
        motion = BoxMotion([*detections(before), *detections(following), *detections(result)])
        labels: dict[int, NDArray[np.uint8]] = {}
        for frame in clip.preview:
            strip.draw_time(below, frame.pts_seconds)
            picture = np.concatenate((frame.image, below))
            self._draw_people(picture[:height], motion.at(frame.pts_seconds), lines, labels, has_numbers)
            yield PreviewFrame(frame.pts_seconds, picture)

    def _with_persons(self, result: Result) -> Result:
        """The result with numbers; one that came as the following one before is not matched again."""
        if self._matched is None or self._matched[0] is not result:
            self._matched = result, with_persons(result, self._matcher)
        return self._matched[1]

    def _size(self, width: int, height: int) -> int:
        return round(font_size(width, height) * self._text_scale)

    def _lines(self, result: Result) -> dict[int, tuple[Line, ...]]:
        """Person → actions; the clip is person 0."""
        numbers = [0] if result.boxes is None or result.boxes.persons is None else result.boxes.persons.tolist()
        return {
            number: lines_of(scores, self._labels, self._top_k, self._min_score)
            for number, scores in zip(numbers, result.scores, strict=False)
            if number >= 0
        }

    def _draw_people(
        self,
        image: Image,
        people: list[tuple[int, NDArray[np.float32]]],
        lines: dict[int, tuple[Line, ...]],
        labels: dict[int, NDArray[np.uint8]],
        has_numbers: bool,
    ) -> None:
        """Draw boxes and then labels, which are kept in `labels` from frame to frame of a clip."""
        height, width, _ = image.shape
        size = self._size(width, height)
        line = max(2, round(size / 6))
        boxes = np.array([box for _, box in people], dtype=np.float64).reshape(-1, 4)
        boxes = (boxes * (width, height, width, height)).clip(0, (width, height, width, height))
        for (number, _), box in zip(people, boxes, strict=True):
            draw_box(image, box, person_colour(number), line if number >= 1 else max(line // 2, 1))
        named = [index for index, (number, _) in enumerate(people) if number >= 1 and (has_numbers or number in lines)]
        for index in named:
            number = people[index][0]
            if number not in labels:
                shown = number if has_numbers else None
                labels[number] = draw_label(
                    shown, person_colour(number), lines.get(number, ()), size, round(width * LABEL_WIDTH)
                )
        # Boxes that are no person yet have no label, but a face all the same: they come last, for the layout.
        rest = [index for index in range(len(people)) if index not in named]
        sizes = [(labels[people[index][0]].shape[1], labels[people[index][0]].shape[0]) for index in named]
        before = [self._places.get(people[index][0]) for index in named]
        places = place_labels(boxes[named + rest], sizes, (width, height), before)
        self._places = {people[index][0]: place for index, (place, _, _) in zip(named, places, strict=True)}
        for index, (_, x, y) in zip(named, places, strict=True):
            draw_patch(image, labels[people[index][0]], round(x), round(y))


class AnnotatedVideoWriter:
    """Writes preview frames with the results drawn on them; the file is a playable MP4 after `close`.

    Each clip is drawn when the next one is known, so that boxes can move from one keyframe to the next.
    """

    def __init__(
        self, path: str | Path, *, labels: Labels, top_k: int = 3, min_score: float = DEFAULT_MIN_SCORE
    ) -> None:
        """MemvitError if the file cannot be written. `min_score` as for `Annotator`."""
        self._writer = VideoWriter(path)
        self._annotator = Annotator(labels, top_k=top_k, min_score=min_score)
        self._waiting: tuple[Clip, Result] | None = None

    def write(self, clip: Clip, result: Result) -> None:
        """Append the preview frames of the clip before; this one's follow with the next clip, or at the end."""
        self._draw(result)
        kept = replace(clip, frames=clip.frames[:0], centre_image=None)  # they are not drawn
        self._waiting = kept, replace(result, features=None, box_features=None)

    def close(self) -> None:
        """Finish the file. It is safe to call this twice."""
        try:
            self._draw(None)
        finally:
            self._writer.close()

    def _draw(self, following: Result | None) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            for picture in self._annotator.pictures(*waiting, following):
                self._writer.write(picture.image, picture.pts_seconds)

    def __enter__(self) -> AnnotatedVideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def follows(after: Result, before: Result) -> bool:
    """Whether one result is of the clip right after the other's."""
    is_next = after.clip_index == before.clip_index + 1 and after.session == before.session
    return is_next and not after.missed_clips and after.centre_seconds > before.centre_seconds


def detections(result: Result | None) -> list[tuple[float, PersonBoxes]]:
    """(seconds, boxes) of every frame in which people were looked for."""
    if result is None or result.boxes is None:
        return []
    return [*result.trail, (result.centre_seconds, result.boxes)]


def draw_box(image: Image, box: NDArray[np.float64], colour: Colour, line: int) -> None:
    """Draw a frame inside the box, xyxy in pixels, `line` pixels thick."""
    x1, y1, x2, y2 = (round(float(side)) for side in box)
    x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
    image[y1 : min(y1 + line, y2), x1:x2] = colour
    image[max(y2 - line, y1) : y2, x1:x2] = colour
    image[y1:y2, x1 : min(x1 + line, x2)] = colour
    image[y1:y2, max(x2 - line, x1) : x2] = colour


def draw_patch(image: Image, patch: NDArray[np.uint8], x: int, y: int) -> None:
    """Lay an RGBA patch over the image, with its upper left corner at (x, y); what is outside is cut."""
    patch = patch[max(-y, 0) :, max(-x, 0) :]
    x, y = max(x, 0), max(y, 0)
    ground = image[y : y + patch.shape[0], x : x + patch.shape[1]]
    patch = patch[: ground.shape[0], : ground.shape[1]]
    alpha = patch[..., 3:].astype(np.uint16)
    ground[:] = (patch[..., :3] * alpha + ground * (255 - alpha) + 127) // 255
