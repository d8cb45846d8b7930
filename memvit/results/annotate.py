"""The annotated video: boxes that move with people, their numbers and actions, and a strip with time and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

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
from memvit.results.text import MIN_FONT_SIZE, font_size
from memvit.types import NO_PERSON, Clip, Image, PersonBoxes, PreviewFrame
from memvit.video.writer import VideoWriter

MAX_COVERED = 0.2
"""Labels that would cover a larger part of the picture are made smaller."""
WHOLE = -2
"""Stands for the whole clip, where a number is that of a person otherwise."""
Notes: TypeAlias = Callable[[int, float], str]
"""(person, seconds of the keyframe) → what else is known of the person, such as what is true."""


@dataclass(frozen=True)
class Density:
    """How much text each person has."""

    lines: int
    width: float
    """Largest width of a label, as a part of the picture's."""
    text_scale: float


DENSITIES = (
    Density(99, 0.6, 1.0),
    Density(2, 0.4, 0.9),
    Density(1, 0.3, 0.8),
    Density(1, 0.2, 0.65),
    Density(0, 0.2, 0.65),
)
"""From few people to many."""


class Annotator:
    """Draws the results of one stream, clip after clip, on the clips' preview frames."""

    def __init__(
        self,
        labels: Labels,
        *,
        top_k: int = 3,
        min_score: float = DEFAULT_MIN_SCORE,
        text_scale: float = 1.0,
        notes: Notes | None = None,
    ) -> None:
        """Actions below `min_score` are not shown, except a person's best one, faintly, where none reaches it.

        `text_scale` enlarges text, for pictures that are shown smaller than they are. `notes` are shown below actions.
        """
        self._labels, self._top_k, self._min_score = labels, top_k, min_score
        self._text_scale, self._notes = text_scale, notes
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
        strip = Strip(width, height, self._size(width, height), has_lines=result.boxes is None)
        below = strip.draw(result, self._lines(result)[WHOLE] if result.boxes is None else ())
        motion = BoxMotion([*detections(before), *detections(following), *detections(result)])
        moved = [motion.at(frame.pts_seconds) for frame in clip.preview]
        people = {number for frame in moved for number, _ in frame}
        labels = self._labels_of(people, result, (width, height), has_numbers)
        for frame, boxes in zip(clip.preview, moved, strict=True):
            strip.draw_time(below, frame.pts_seconds)
            picture = np.concatenate((frame.image, below))
            self._draw_people(picture[:height], boxes, labels)
            yield PreviewFrame(frame.pts_seconds, picture)

    def _with_persons(self, result: Result) -> Result:
        """The result with numbers; one that came as the following one before is not matched again."""
        if self._matched is None or self._matched[0] is not result:
            self._matched = result, with_persons(result, self._matcher)
        return self._matched[1]

    def _size(self, width: int, height: int) -> int:
        return round(font_size(width, height) * self._text_scale)

    def _lines(self, result: Result) -> dict[int, tuple[Line, ...]]:
        """Person → actions; a clip classifier has `WHOLE` instead."""
        boxes = result.boxes
        numbers = [WHOLE] if boxes is None or boxes.persons is None else boxes.persons.tolist()
        lines = {}
        for number, scores in zip(numbers, result.scores, strict=True):
            lines[number] = lines_of(scores, self._labels, self._top_k, self._min_score)
            if self._notes is not None and number not in (WHOLE, NO_PERSON):
                note = self._notes(number, result.centre_seconds)
                lines[number] += (Line(note),) if note else ()
        return lines

    def _draw_people(
        self, image: Image, people: list[tuple[int, NDArray[np.float32]]], drawn: dict[int, NDArray[np.uint8]]
    ) -> None:
        """Draw all boxes, and then the labels of people among those that are drawn already."""
        height, width, _ = image.shape
        line = max(2, round(self._size(width, height) / 6))
        # Boxes without a label come last; faces of theirs are kept free all the same.
        people = sorted(people, key=lambda person: person[0] not in drawn)
        labels = [(number, drawn[number]) for number, _ in people if number in drawn]
        boxes = np.array([box for _, box in people], dtype=np.float64).reshape(-1, 4)
        boxes = (boxes * (width, height, width, height)).clip(0, (width, height, width, height))
        for (number, _), box in zip(people, boxes, strict=True):
            draw_box(image, box, person_colour(number), max(line // 2, 1) if number == NO_PERSON else line)
        sizes = [(label.shape[1], label.shape[0]) for _, label in labels]
        before = [self._places.get(number) for number, _ in labels]
        places = place_labels(boxes, sizes, (width, height), before)
        self._places = {number: place for (number, _), (place, _, _) in zip(labels, places, strict=True)}
        for (_, label), (_, x, y) in zip(labels, places, strict=True):
            draw_patch(image, label, round(x), round(y))

    def _labels_of(
        self, people: set[int], result: Result, size: tuple[int, int], has_numbers: bool
    ) -> dict[int, NDArray[np.uint8]]:
        """Person → label. People whom the keyframe does not show have their number only.

        Where many people would have more text than a part of the picture, it is less and smaller.
        """
        lines = self._lines(result)
        shown = [number for number in people if number != NO_PERSON and (has_numbers or number in lines)]
        labels: dict[int, NDArray[np.uint8]] = {}
        for density in DENSITIES:
            font = max(MIN_FONT_SIZE, round(self._size(*size) * density.text_scale))
            labels = {
                number: draw_label(
                    number if has_numbers else None,
                    person_colour(number),
                    lines.get(number, ())[: density.lines],
                    font,
                    round(size[0] * density.width),
                )
                for number in shown
            }
            if sum(label.shape[0] * label.shape[1] for label in labels.values()) <= MAX_COVERED * size[0] * size[1]:
                break
        return labels


class AnnotatedVideoWriter:
    """Writes preview frames with the results drawn on them; the file is a playable MP4 after `close`.

    Each clip is drawn when the next one is known, so that boxes can move from one keyframe to the next.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        labels: Labels,
        top_k: int = 3,
        min_score: float = DEFAULT_MIN_SCORE,
        notes: Notes | None = None,
    ) -> None:
        """MemvitError if the file cannot be written. `min_score` and `notes` as for `Annotator`."""
        self._writer = VideoWriter(path)
        self._annotator = Annotator(labels, top_k=top_k, min_score=min_score, notes=notes)
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
