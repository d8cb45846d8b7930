"""A generated crowd: people who walk, stop, turn, leave, come in, cross and hide each other, seen by a camera.

The camera is of a random height and tilt and trembles slightly. Figures are simple, but wear clothes of different
colours and patterns, of which some are alike, so that there is something to tell them by.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageDraw

Boxes = NDArray[np.float32]
Colour = tuple[int, int, int]

SHIRTS: tuple[Colour, ...] = (
    (190, 40, 40), (40, 90, 180), (50, 140, 60), (220, 200, 60), (235, 235, 230), (40, 40, 45), (140, 70, 150),
    (230, 130, 40),
)  # fmt: skip
TROUSERS: tuple[Colour, ...] = ((35, 45, 80), (30, 30, 30), (150, 130, 95), (95, 95, 100))
SKIN: tuple[Colour, ...] = ((235, 195, 165), (190, 140, 105), (110, 75, 55))
PATTERNS = ("plain", "plain", "stripes", "columns", "checks")
SPRITE_WIDTH, SPRITE_HEIGHT = 80, 200
LEAST_INSIDE, MOST_COVERED = 0.4, 0.7
"""Somebody of whom less is inside the picture, or more is covered by others, is not visible."""


@dataclass(frozen=True)
class Crowd:
    """`frames` and `image` depend on these values alone."""

    seed: int
    people: int = 20
    seconds: float = 20.0
    frames_per_second: float = 25.0
    width: int = 960
    height: int = 540

    @cached_property
    def frames(self) -> list[tuple[NDArray[np.int64], Boxes, NDArray[np.float32]]]:
        """For each frame, from near to far: numbers (N,) of the people, boxes (N, 4), visible parts (N,)."""
        rng = np.random.default_rng(self.seed)
        camera = _Camera(rng, self.width, self.height)
        count = int(self.seconds * self.frames_per_second) + 1
        walks = [_walk(rng, camera, count, self.frames_per_second) for _ in range(self.people)]
        shift, found = np.zeros(2), []
        for number in range(count):
            shift = 0.9 * shift + rng.normal(0, 0.0018, 2)
            rows = [
                (walk[number][0], person, walk[number][1]) for person, walk in enumerate(walks, 1) if number in walk
            ]
            rows.sort(key=lambda row: row[0])
            persons = np.array([person for _, person, _ in rows], dtype=np.int64)
            boxes = np.array([box for _, _, box in rows]).reshape(-1, 4) + np.tile(shift, 2)
            found.append((persons, boxes.astype(np.float32), _visible(boxes)))
        return found

    def image(self, number: int) -> NDArray[np.uint8]:
        """The picture of a frame, (height, width, 3) uint8."""
        rng = np.random.default_rng((self.seed, number))
        picture = self._background.copy()
        persons, boxes, _ = self.frames[number]
        for person, box in zip(persons[::-1], boxes[::-1], strict=True):
            left, top, right, bottom = (box * np.tile([self.width, self.height], 2)).round().astype(int)
            size = (max(right - left, 1), max(bottom - top, 1))
            stride = int(number / self.frames_per_second * 4 + person) % 2
            figure = self._figures[person - 1][stride].resize(size)
            picture.paste(figure, (left, top), figure)
        light = np.linspace(1.0, 0.7, self.width)[None, :, None] * (1 + 0.03 * np.sin(number / 40))
        noisy = np.asarray(picture, dtype=np.float32) * light + rng.normal(0, 5, (self.height, self.width, 1))
        return noisy.clip(0, 255).astype(np.uint8)

    @cached_property
    def _background(self) -> Picture.Image:
        rng = np.random.default_rng((self.seed, 1_000_000))
        coarse = (rng.integers(80, 180, (9, 16, 1)) + rng.integers(-15, 16, (9, 16, 3))).astype(np.uint8)
        return Picture.fromarray(coarse).resize((self.width, self.height), Picture.Resampling.BICUBIC)

    @cached_property
    def _figures(self) -> list[tuple[Picture.Image, Picture.Image]]:
        rng = np.random.default_rng((self.seed, 2_000_000))
        return [_figure(rng) for _ in range(self.people)]


class _Camera:
    """Projects people on flat ground; lengths in metres."""

    def __init__(self, rng: np.random.Generator, width: int, height: int) -> None:
        self.above, self.tilt = rng.uniform(1.6, 5.0), np.deg2rad(rng.uniform(0, 25))
        self.focal = rng.uniform(0.8, 1.4) * width
        self.near = rng.uniform(4, 8)
        self.far = self.near + rng.uniform(4, 14)
        self.width, self.height = width, height

    def half_width(self, depth: float) -> float:
        """Metres from the middle of the picture to its side."""
        return depth * self.width / 2 / self.focal

    def box(self, x: float, depth: float, tall: float, wide: float) -> NDArray[np.float64]:
        """xyxy, 0..1."""
        ends = []
        for y in (tall - self.above, -self.above):
            along = depth * np.cos(self.tilt) - y * np.sin(self.tilt)
            down = -(y * np.cos(self.tilt) + depth * np.sin(self.tilt))
            ends.append((self.focal * x / along + self.width / 2, self.focal * down / along + self.height / 2))
        (_, top), (middle, bottom) = ends
        half = (bottom - top) * wide / 2
        return np.array([middle - half, top, middle + half, bottom]) / np.tile([self.width, self.height], 2)


def _walk(
    rng: np.random.Generator, camera: _Camera, count: int, rate: float
) -> dict[int, tuple[float, NDArray[np.float64]]]:
    """Frame number → depth and box, for the frames in which somebody is there."""
    tall, wide, swing = rng.uniform(1.55, 1.9), rng.uniform(0.34, 0.46), rng.uniform(0.05, 0.2)
    depth, phase = rng.uniform(camera.near, camera.far), rng.uniform(0, 2 * np.pi)
    speed = rng.normal(1.3, 0.25) if rng.random() < 0.75 else rng.uniform(0, 0.4)
    angle = rng.choice([0, np.pi]) + rng.normal(0, 0.5)
    first = 0 if rng.random() < 0.8 else int(rng.integers(0, count * 2 // 3))
    x = rng.uniform(-1, 1) * camera.half_width(depth)
    if first:
        x = -np.sign(np.cos(angle)) * (camera.half_width(depth) + 0.4)
    stop, found = 0.0, {}
    for number in range(first, count):
        if rng.random() < 0.1 / rate:
            stop = rng.uniform(0.5, 3)
        stop -= 1 / rate
        angle += rng.normal(0, 0.25) * rate**-0.5 + (rng.normal(0, 1.5) if rng.random() < 0.03 / rate else 0)
        step = 0.0 if stop > 0 else speed / rate
        x, depth = x + step * np.cos(angle), depth + step * np.sin(angle)
        if depth < camera.near - 1 or depth > camera.far + 4:
            angle = -angle
        depth = float(np.clip(depth, camera.near - 1, camera.far + 4))
        outwards = x * np.cos(angle) > 0
        beyond = abs(x) - camera.half_width(depth)
        if outwards and (beyond > 1.5 or -0.3 < beyond < -0.3 + 2 * abs(step)):
            # Most turn before they are out; of the others half come back after a while.
            if rng.random() < 0.6:
                angle = np.pi - angle
            elif beyond > 1.5:
                break
        gait = 1 + swing * np.sin(2 * np.pi * number / rate + phase) * (step > 0)
        found[number] = depth, camera.box(x, depth, tall, wide * gait)
    return found


def _visible(boxes: NDArray[np.float64]) -> NDArray[np.float32]:
    """(N, 4) from near to far → (N,) the part of each that is inside the picture and not covered; 0 if too little."""
    mask, found = np.zeros((90, 160), dtype=bool), np.zeros(len(boxes), dtype=np.float32)
    for row, box in enumerate(boxes):
        inside = box.clip(0, 1)
        part = np.prod((inside[2:] - inside[:2]).clip(0)) / np.prod(box[2:] - box[:2])
        left, top, right, bottom = (inside * [160, 90, 160, 90]).round().astype(int)
        area = mask[top:bottom, left:right]
        covered = area.mean() if area.size else 1.0
        if part >= LEAST_INSIDE and covered <= MOST_COVERED:
            found[row] = part * (1 - covered)
        narrow = (right - left) // 5
        mask[top:bottom, left + narrow : right - narrow] = True
    return found


def _figure(rng: np.random.Generator) -> tuple[Picture.Image, Picture.Image]:
    """Somebody with closed and with open legs."""
    shirt, trousers, skin = (choices[rng.integers(len(choices))] for choices in (SHIRTS, TROUSERS, SKIN))
    pattern, other = PATTERNS[rng.integers(len(PATTERNS))], SHIRTS[rng.integers(len(SHIRTS))]
    hair = (30, 25, 20) if rng.random() < 0.7 else (150, 110, 60)
    return _draw(shirt, trousers, skin, hair, pattern, other, 6), _draw(shirt, trousers, skin, hair, pattern, other, 20)


def _draw(
    shirt: Colour, trousers: Colour, skin: Colour, hair: Colour, pattern: str, other: Colour, legs: int
) -> Picture.Image:
    figure = Picture.new("RGBA", (SPRITE_WIDTH, SPRITE_HEIGHT))
    draw = ImageDraw.Draw(figure)
    draw.polygon([(28, 105), (42, 105), (40 - legs // 2, 199), (24 - legs, 199)], fill=trousers)
    draw.polygon([(38, 105), (52, 105), (56 + legs, 199), (40 + legs // 2, 199)], fill=trousers)
    draw.rounded_rectangle((20, 34, 60, 112), 10, fill=shirt)
    for place in range(0, 40 if pattern == "columns" else 74, 10):
        if pattern in ("stripes", "checks"):
            draw.rectangle((21, 36 + place, 59, 40 + place), fill=other)
        if pattern in ("columns", "checks") and place < 40:
            draw.rectangle((21 + place, 36, 24 + place, 108), fill=other)
    draw.rounded_rectangle((10, 38, 20, 108), 5, fill=shirt)
    draw.rounded_rectangle((60, 38, 70, 108), 5, fill=shirt)
    draw.ellipse((28, 4, 52, 34), fill=skin)
    draw.pieslice((27, 1, 53, 30), 180, 360, fill=hair)
    return figure
