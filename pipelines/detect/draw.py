"""Objects drawn into a picture: masks, boxes, and names with scores."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from memvit.detection import Detections
from memvit.labels import Labels
from memvit.results.colours import INK, person_colour
from memvit.results.text import draw_text, font_size, load_font, text_width
from memvit.types import Image as Pixels

OPACITY = 0.45
"""Of masks."""


def draw_detections(image: Pixels, detections: Detections, labels: Labels) -> Pixels:
    """The picture with its objects, the best on top; every class has a colour of its own while there are ten."""
    width, height = image.shape[1], image.shape[0]
    pixels = image.astype(np.float32)
    order = range(len(detections) - 1, -1, -1)
    colours = [person_colour(label + 1) for label in detections.labels.tolist()]
    for index in order:
        if len(detections.masks):
            x1, y1, x2, y2 = detections.masks.parts[index]
            part, mask = pixels[y1:y2, x1:x2], detections.masks.part(index).numpy()
            part[mask] += OPACITY * (np.array(colours[index], np.float32) - part[mask])
    drawn = Image.fromarray(np.rint(pixels).astype(np.uint8))
    draw = ImageDraw.Draw(drawn)
    size = font_size(width, height)
    line = max(1, round(size / 8))
    for index in order:
        x1, y1, x2, y2 = detections.boxes[index].tolist()
        draw.rectangle((x1, y1, max(x2 - 1, x1), max(y2 - 1, y1)), outline=colours[index], width=line)
    for index in order:
        text = f"{labels.names[int(detections.labels[index])]} {float(detections.scores[index]):.2f}"
        x, y = detections.boxes[index, :2].tolist()
        _draw_name(draw, text, (x, y), colours[index], (width, height), size)
    return np.asarray(drawn)


def _draw_name(
    draw: ImageDraw.ImageDraw,
    text: str,
    corner: tuple[float, float],
    colour: tuple[int, int, int],
    picture: tuple[int, int],
    size: int,
) -> None:
    """The name above the upper left corner of a box, or below it where there is no room above."""
    font, pad = load_font(size), max(2, round(size * 0.25))
    wide, high = text_width(text, font) + 2 * pad, round(size * 1.35)
    x = max(0.0, min(corner[0], picture[0] - wide))
    y = corner[1] - high if corner[1] >= high else corner[1]
    draw.rectangle((x, y, x + wide - 1, y + high - 1), fill=colour)
    draw_text(draw, x + pad, y + size * 0.1, text, font, INK)
