"""The annotated video: boxes and actions of people, the time, and a strip that shows the memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from memvit.boxes.match import PersonMatcher
from memvit.labels import Labels
from memvit.results.result import Result, top_actions
from memvit.types import Clip, PreviewFrame
from memvit.video.writer import VideoWriter

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont
PALETTE: tuple[Colour, ...] = (
    (90, 200, 250),
    (255, 179, 64),
    (120, 220, 120),
    (255, 120, 160),
    (190, 150, 255),
    (240, 220, 90),
)
"""Colours of people, in the order of their numbers; all are light enough for dark text."""
INK, PAPER = (18, 20, 24), (255, 255, 255)
STRIP_SECONDS = 40.0
"""The smallest time span of the strip at the bottom."""
Rectangle = tuple[float, float, float, float]
"""(x1, y1, x2, y2) in pixels."""


@dataclass(frozen=True)
class Style:
    """Sizes in pixels that follow from the frame's height."""

    width: int
    height: int

    @property
    def font_size(self) -> int:
        """Size of all text."""
        return max(10, round(self.height / 30))

    @property
    def line(self) -> int:
        """Line width of a box."""
        return max(2, self.height // 200)

    @property
    def strip_height(self) -> int:
        """Height of the strip at the bottom."""
        return round(self.font_size * 2.6)


class Annotator:
    """Draws results on the preview frames of a stream's clips."""

    def __init__(self, labels: Labels, *, top_k: int = 3, min_score: float = 0.05) -> None:
        """Actions below `min_score` are not shown."""
        self._labels, self._top_k, self._min_score = labels, top_k, min_score
        self._matcher = PersonMatcher()

    def pictures(self, clip: Clip, result: Result, numbers: list[int] | None = None) -> Iterator[PreviewFrame]:
        """The clip's preview frames with the result drawn on them; none if the clip has no preview frames.

        `numbers` are those of the people, which choose their colours; by default people are matched by their boxes.
        """
        if not clip.preview:
            return
        height, width, _ = clip.preview[0].image.shape
        style = Style(width, height)
        overlay = Image.new("RGBA", (width, height), (0, 0, 0, 0))
        draw = ImageDraw.Draw(overlay)
        font = load_font(style.font_size)
        if result.boxes is None:
            self._draw_clip(draw, font, style, result)
        else:
            numbers = self._matcher.number(result.boxes.xyxy) if numbers is None else numbers
            self._draw_people(draw, font, style, result, numbers)
        draw_strip(draw, font, style, result)
        for frame in clip.preview:
            picture = Image.fromarray(frame.image).convert("RGBA")
            if picture.size == overlay.size:
                picture.alpha_composite(overlay)
            draw_time(ImageDraw.Draw(picture), font, frame.pts_seconds)
            yield PreviewFrame(frame.pts_seconds, np.asarray(picture.convert("RGB")))

    def _lines(self, scores: np.ndarray) -> list[str]:
        best = top_actions(scores, self._labels, self._top_k)
        return [f"{action['name']}  {action['score']:.2f}" for action in best if action["score"] >= self._min_score]

    def _draw_people(
        self, draw: ImageDraw.ImageDraw, font: Font, style: Style, result: Result, numbers: list[int]
    ) -> None:
        assert result.boxes is not None
        size = np.array([style.width, style.height] * 2)
        boxes: list[Rectangle] = []
        for number, box in zip(numbers, result.boxes.xyxy, strict=True):
            x1, y1, x2, y2 = (float(side) for side in np.clip(box * size, 0, size - 1))
            boxes.append((x1, y1, max(x1, x2), max(y1, y2)))
            draw.rectangle(boxes[-1], outline=(*PALETTE[number % len(PALETTE)], 255), width=style.line)
        taken = [time_rectangle(draw, font)]
        # Text is drawn after all boxes, so that the box of one person does not cover the text of another.
        for number, rectangle, scores in zip(numbers, boxes, result.scores, strict=True):
            lines = [shortened(line, draw, font, style.width * 0.6) for line in self._lines(scores)]
            if lines:
                taken.append(place_label(draw, font, style, lines, rectangle, taken))
                draw_lines(draw, font, taken[-1], lines, PALETTE[number % len(PALETTE)])

    def _draw_clip(self, draw: ImageDraw.ImageDraw, font: Font, style: Style, result: Result) -> None:
        lines = [shortened(line, draw, font, style.width * 0.6) for line in self._lines(result.scores[0])]
        if lines:
            top = style.font_size * 2.2
            rectangle = place_label(draw, font, style, lines, (0, top, 0, top), [])
            draw_lines(draw, font, rectangle, lines, PALETTE[0])


class AnnotatedVideoWriter:
    """Writes preview frames with the results drawn on them; the file is a playable MP4 after `close`."""

    def __init__(self, path: str | Path, *, labels: Labels, top_k: int = 3, min_score: float = 0.05) -> None:
        """MemvitError if the file cannot be written. Actions below `min_score` are not shown."""
        self._writer = VideoWriter(path)
        self._annotator = Annotator(labels, top_k=top_k, min_score=min_score)

    def write(self, clip: Clip, result: Result) -> None:
        """Append the preview frames of a clip."""
        for picture in self._annotator.pictures(clip, result):
            self._writer.write(picture.image, picture.pts_seconds)

    def close(self) -> None:
        """Finish the file. It is safe to call this twice."""
        self._writer.close()

    def __enter__(self) -> AnnotatedVideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def load_font(size: int) -> Font:
    """Pillow's own font, which needs no file of the system."""
    font = ImageFont.load_default(size=size)
    assert isinstance(font, Font)  # it is a bitmap only where Pillow was built without FreeType
    return font


def shortened(text: str, draw: ImageDraw.ImageDraw, font: Font, max_width: float) -> str:
    """The text, with its name cut where it is wider than `max_width` pixels; the score at its end stays."""
    name, _, score = text.rpartition("  ")
    while draw.textlength(text, font=font) > max_width and len(name) > 4:
        name = name[:-2].rstrip()
        text = f"{name}…  {score}"
    return text


def place_label(
    draw: ImageDraw.ImageDraw,
    font: Font,
    style: Style,
    lines: list[str],
    box: Rectangle,
    taken: list[Rectangle],
) -> Rectangle:
    """The place of a person's text: above the box, at its top, below it, or below other text, but inside the frame."""
    pad = style.font_size * 0.3
    width = max(draw.textlength(line, font=font) for line in lines) + 2 * pad
    height = len(lines) * style.font_size * 1.25 + 2 * pad
    bottom = style.height - style.strip_height
    x = min(max(box[0], 0), style.width - width)
    candidates = [box[1] - height, box[1] + style.line, box[3], *(other[3] + 1 for other in taken)]
    places = [(x, min(max(y, 0), bottom - height)) for y in candidates]
    rectangles = [(x, y, x + width, y + height) for x, y in places]
    free = [rectangle for rectangle in rectangles if not any(overlaps(rectangle, other) for other in taken)]
    return (free or rectangles)[0]


def overlaps(first: Rectangle, second: Rectangle) -> bool:
    """Whether two rectangles share more than an edge."""
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def draw_lines(draw: ImageDraw.ImageDraw, font: Font, rectangle: Rectangle, lines: list[str], colour: Colour) -> None:
    """Draw dark text on the person's colour."""
    draw.rectangle(rectangle, fill=(*colour, 225))
    step = font.size * 1.25
    pad = font.size * 0.3
    for index, line in enumerate(lines):
        draw.text((rectangle[0] + pad, rectangle[1] + pad + index * step), line, font=font, fill=(*INK, 255))


def draw_time(draw: ImageDraw.ImageDraw, font: Font, pts_seconds: float) -> None:
    """Draw mm:ss.s in the upper left corner."""
    minutes, seconds = divmod(max(pts_seconds, 0.0), 60)
    draw.rectangle(time_rectangle(draw, font), fill=INK)
    draw.text((font.size * 0.35, font.size * 0.25), f"{int(minutes):02d}:{seconds:04.1f}", font=font, fill=PAPER)


def time_rectangle(draw: ImageDraw.ImageDraw, font: Font) -> Rectangle:
    """The rectangle that the time covers."""
    return 0, 0, draw.textlength("00:00.0", font=font) + font.size * 0.7, font.size * 1.7


def draw_strip(draw: ImageDraw.ImageDraw, font: Font, style: Style, result: Result) -> None:
    """Draw the last seconds along the bottom, the present at the right: this clip, attended clips, and the reach."""
    top = style.height - style.strip_height
    draw.rectangle((0, top, style.width, style.height), fill=(*INK, 215))
    span = max(STRIP_SECONDS, 1.1 * result.memory_reach_seconds)
    clip_seconds = max(result.end_seconds - result.start_seconds, 0.2)
    right = style.width - 4

    def x(age_seconds: float) -> float:
        # The present clip ends at the right edge; ages count from its centre.
        return right - (age_seconds + clip_seconds / 2) / (span + clip_seconds) * (style.width - 8)

    lane = (top + style.font_size * 1.5, style.height - style.font_size * 0.35)
    if result.memory_reach_seconds:
        draw.rectangle((x(result.memory_reach_seconds), lane[0], right, lane[1]), fill=(*PALETTE[0], 50))
    for age in range(0, int(span) + 1, 10):
        draw.line((x(age), lane[0], x(age), lane[1]), fill=(*PAPER, 70))

    def block(age_seconds: float, colour: Colour) -> None:
        # One pixel narrower at the left, so that a gap separates clips that touch.
        left, end = x(age_seconds + clip_seconds / 2) + 1, x(age_seconds - clip_seconds / 2)
        draw.rectangle((left, lane[0], max(left, end), lane[1]), fill=(*colour, 240))

    for offset in result.memory_offsets_seconds:
        block(offset, PALETTE[0])
    block(0.0, PALETTE[1])
    draw.text((4, top + style.font_size * 0.15), memory_text(result), font=font, fill=(*PAPER, 255))


def memory_text(result: Result) -> str:
    """The content of the strip as text."""
    if not result.memory_offsets_seconds:
        return "no memory yet" if result.memory_clips else "no memory"
    ages = ", ".join(f"{offset:g}" for offset in result.memory_offsets_seconds)
    return f"memory: reads {ages} s ago, reaches {result.memory_reach_seconds:g} s back"
