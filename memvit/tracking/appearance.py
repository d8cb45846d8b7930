"""What people look like: a small vector from the pixels of each box, by colour and texture of its parts.

A fixed grid of points is read from each box, so that the cost does not depend on its size. Points near the vertical
middle line of the box count most, because the sides of a box show mostly background. A point with colour counts for its
hue, one without for its lightness. Four parts, from head to feet, have histograms of their own. No network is used.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from memvit.types import Image

Floats = NDArray[np.float32]

ROWS, COLUMNS = 56, 20
"""Points that are read of a box."""
PART_CENTRES, PART_WIDTH = (0.1, 0.32, 0.58, 0.85), 0.12
"""Head, chest, hips and legs: where they are in a box, from top to bottom, and how far each reaches."""
MIDDLE_WIDTH = 0.22
"""How far points to the side count: the standard deviation of the weight, in widths of the box."""
HUES, LIGHTS, DIRECTIONS = 12, 6, 4
"""Bins of the histograms."""
TEXTURE_WEIGHT = 0.25
"""Share of texture in the similarity of two boxes; colour has the rest."""
SIZE = len(PART_CENTRES) * (HUES + LIGHTS + DIRECTIONS)
"""Numbers of a vector."""


def describe(image: Image, xyxy: Floats) -> Floats:
    """How the people in these boxes look: (H, W, 3) uint8 and (N, 4) normalised boxes → (N, `SIZE`) float32.

    Rows have length 1, so that the dot product of two rows is their similarity, 0 to 1. Only the part of a box that is
    inside the picture counts; a box with no pixel gets zeros, which mean that nothing is known.
    """
    grid = _Grid.read(image, xyxy)
    if grid is None:
        return np.zeros((len(xyxy), SIZE), dtype=np.float32)
    colour = _colour(grid)
    texture = _texture(grid)
    vectors = np.concatenate(
        (_unit(colour) * np.sqrt(1 - TEXTURE_WEIGHT), _unit(texture) * np.sqrt(TEXTURE_WEIGHT)), axis=1
    )
    return _unit(vectors, root=False).astype(np.float32)


class _Grid:
    """Points of N boxes: red, green, blue and weight, each (N, ROWS, COLUMNS) from 0 to 1."""

    def __init__(self, rgb: Floats, weight: Floats) -> None:
        self.red, self.green, self.blue = rgb
        self.light = (self.red + self.green + self.blue) / 3
        self.weight = weight

    @staticmethod
    def read(image: Image, xyxy: Floats) -> _Grid | None:
        height, width = image.shape[:2]
        if not len(xyxy) or not height or not width:
            return None
        side = xyxy[:, 2:] - xyxy[:, :2]
        x = xyxy[:, 0, None] + side[:, 0, None] * ((np.arange(COLUMNS, dtype=np.float32) + 0.5) / COLUMNS)
        y = xyxy[:, 1, None] + side[:, 1, None] * ((np.arange(ROWS, dtype=np.float32) + 0.5) / ROWS)
        # Comparisons with NaN are false.
        inside_x = (x >= 0) & (x < 1) & (side[:, 0, None] > 0)
        inside_y = (y >= 0) & (y < 1) & (side[:, 1, None] > 0)
        columns = np.nan_to_num(x * width).clip(0, width - 1).astype(np.intp)
        rows = np.nan_to_num(y * height).clip(0, height - 1).astype(np.intp)
        weight = _middle() * (inside_y[:, :, None] & inside_x[:, None, :])
        points = image[rows[:, :, None], columns[:, None, :]]
        return _Grid(np.ascontiguousarray(np.moveaxis(points, -1, 0), dtype=np.float32) / np.float32(255), weight)


@cache
def _middle() -> Floats:
    """(COLUMNS,) how much each column counts."""
    off = (np.arange(COLUMNS) + 0.5) / COLUMNS - 0.5
    return np.exp(-0.5 * (off / MIDDLE_WIDTH) ** 2).astype(np.float32)


@cache
def _parts() -> Floats:
    """(parts, ROWS) how much each row counts for each part."""
    off = (np.arange(ROWS) + 0.5) / ROWS - np.array(PART_CENTRES)[:, None]
    weight = np.exp(-0.5 * (off / PART_WIDTH) ** 2)
    return (weight / weight.sum(axis=0)).astype(np.float32)


def _colour(grid: _Grid) -> Floats:
    """(N, parts × (HUES + LIGHTS)) soft histograms."""
    red, green, blue = grid.red, grid.green, grid.blue
    top = np.maximum(np.maximum(red, green), blue)
    bottom = np.minimum(np.minimum(red, green), blue)
    # Saturation of bright pixels can be trusted, that of dark ones is noise.
    chroma = np.minimum((top - bottom) / np.maximum(top, 0.15) * 1.5, 1)
    hue = _circle(np.float32(3**0.5) * (green - blue), 2 * red - green - blue, HUES / (2 * np.pi), HUES)
    light = np.minimum(grid.light, 0.9999) * (LIGHTS - 1)
    return _histogram(
        ((hue, grid.weight * chroma, 0, HUES), (light, grid.weight * (1 - chroma), HUES, LIGHTS)), HUES + LIGHTS
    )


def _texture(grid: _Grid) -> Floats:
    """(N, parts × DIRECTIONS) soft histograms of the directions of edges, by their strength."""
    down, right = np.zeros_like(grid.light), np.zeros_like(grid.light)
    down[:, 1:-1] = grid.light[:, 2:] - grid.light[:, :-2]
    right[:, :, 1:-1] = grid.light[:, :, 2:] - grid.light[:, :, :-2]
    direction = _circle(down, right, DIRECTIONS / np.pi, DIRECTIONS)
    return _histogram(((direction, grid.weight * np.hypot(down, right), 0, DIRECTIONS),), DIRECTIONS)


def _circle(y: Floats, x: Floats, scale: float, bins: int) -> Floats:
    """Angles in bins, from 0 to `bins`; half a turn is enough where the scale is that of half a turn."""
    angle = np.arctan2(y, x) * np.float32(scale)
    return np.where(angle < 0, angle + np.float32(bins), angle)


def _histogram(kinds: tuple[tuple[Floats, Floats, int, int], ...], bins: int) -> Floats:
    """(N, parts × bins) from (value, weight, first bin, number of bins): a point counts for the two bins beside it."""
    count = len(kinds[0][0])
    row = (np.arange(count * ROWS, dtype=np.int64) * bins).reshape(count, ROWS, 1)
    places, weights = [], []
    for value, weight, first, number in kinds:
        low = value.astype(np.int64) % number
        part = value - np.floor(value)
        places += [row + first + low, row + first + (low + 1) % number]
        weights += [weight * (1 - part), weight * part]
    counts = np.bincount(
        np.stack(places).ravel(), weights=np.stack(weights).ravel(), minlength=count * ROWS * bins
    ).reshape(count, ROWS, bins)
    return (_parts() @ counts.astype(np.float32)).reshape(count, -1)


def _unit(vectors: Floats, root: bool = True) -> Floats:
    """Rows of length 1, or zeros; after square roots (the similarity is then Bhattacharyya's) unless told otherwise."""
    if root:
        vectors = np.sqrt(vectors)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(length, 1e-12)
