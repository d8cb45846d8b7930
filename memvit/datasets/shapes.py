"""A small set of pictures in COCO's format, whose objects are shapes. A small detector learns it in minutes.

Discs, squares, triangles and rings lie on a textured ground and cover each other a little. Masks are polygons, but
those of rings are run lengths, as a ring has a hole. Everything follows from the seed.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw

from memvit.detection.rle import run_lengths
from memvit.types import Image

SHAPES = ("disc", "square", "triangle", "ring")
SIDE = 96
"""Height and width of a picture."""
FINER = 4
"""Shapes are drawn this much larger, then reduced, so that their edges are smooth."""
MOST_COVERED = 0.15
"""Shapes do not lie where they would cover more than this part of another's box."""


def outline(shape: str, x: float, y: float, radius: float, turn: float) -> list[tuple[float, float]]:
    """The corners of a shape about (x, y), turned by an angle; 24 for round ones."""
    corners = {"square": 4, "triangle": 3}.get(shape, 24)
    angles = [turn + 2 * math.pi * corner / corners for corner in range(corners)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def render(seed: int) -> tuple[Image, list[dict[str, Any]]]:
    """A picture (side, side, 3) uint8 RGB, and its objects as COCO's annotations without ids."""
    generator = np.random.default_rng(seed)
    patches = generator.integers(30, 110, (12, 12, 3)).astype(np.float64)
    picture = np.kron(patches, np.ones((SIDE // 12, SIDE // 12, 1)))
    taken: list[tuple[float, float, float, float]] = []
    rows: list[dict[str, Any]] = []
    covers: list[NDArray[np.bool_]] = []
    for _ in range(int(generator.integers(1, 6))):
        radius = generator.uniform(8, 20)
        x, y = generator.uniform(radius, SIDE - radius, 2)
        label, turn = int(generator.integers(len(SHAPES))), generator.uniform(0, 2 * math.pi)
        box = (x - radius, y - radius, x + radius, y + radius)
        if any(_covered(box, other) > MOST_COVERED for other in taken):
            continue
        taken.append(box)
        points = outline(SHAPES[label], x, y, radius, turn)
        inner = outline("disc", x, y, radius * 0.5, turn) if SHAPES[label] == "ring" else []
        alpha = _drawn(points, inner)
        colour = generator.integers(120, 256, 3)
        picture = picture * (1 - alpha[..., None]) + colour * alpha[..., None]
        covers.append(alpha >= 0.5)
        rows.append(_row(label, points, covers[-1], has_hole=bool(inner)))
    noise = generator.normal(0, 6, picture.shape)
    return (picture + noise).clip(0, 255).astype(np.uint8), rows


def _covered(box: tuple[float, ...], other: tuple[float, ...]) -> float:
    across = min(box[2], other[2]) - max(box[0], other[0])
    down = min(box[3], other[3]) - max(box[1], other[1])
    area = min((each[2] - each[0]) * (each[3] - each[1]) for each in (box, other))
    return max(across, 0) * max(down, 0) / area


def _drawn(points: list[tuple[float, float]], inner: list[tuple[float, float]]) -> NDArray[np.float64]:
    """How much of each pixel a shape covers, (side, side)."""
    canvas = PillowImage.new("L", (SIDE * FINER, SIDE * FINER))
    draw = ImageDraw.Draw(canvas)
    for corners, value in ((points, 255), (inner, 0)):
        if corners:
            draw.polygon([(x * FINER, y * FINER) for x, y in corners], fill=value)
    pixels = np.asarray(canvas, dtype=np.float64).reshape(SIDE, FINER, SIDE, FINER)
    covered: NDArray[np.float64] = pixels.mean(axis=(1, 3)) / 255
    return covered


def _row(label: int, points: list[tuple[float, float]], cover: NDArray[np.bool_], *, has_hole: bool) -> dict[str, Any]:
    columns = [min(max(value, 0.0), float(SIDE)) for value, _ in points]
    rows = [min(max(value, 0.0), float(SIDE)) for _, value in points]
    box = [min(columns), min(rows), max(columns) - min(columns), max(rows) - min(rows)]
    flat = [round(value, 2) for point in zip(columns, rows, strict=True) for value in point]
    runs = {"size": [SIDE, SIDE], "counts": run_lengths(cover)}
    return {
        "category_id": label + 1,
        "bbox": [round(value, 2) for value in box],
        "area": float(cover.sum()),
        "iscrowd": 0,
        "segmentation": runs if has_hole else [flat],
    }


def write_shapes(folder: Path, pictures: int, seed: int) -> Path:
    """Write pictures into `folder/pictures` and their objects into `folder/instances.json`, which is returned."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    images, annotations = [], list[dict[str, Any]]()
    for number in range(1, pictures + 1):
        pixels, rows = render(seed + number)
        name = f"{number:06d}.png"
        PillowImage.fromarray(pixels).save(folder / "pictures" / name)
        images.append({"id": number, "width": SIDE, "height": SIDE, "file_name": name})
        for row in rows:
            annotations.append({"id": len(annotations) + 1, "image_id": number, **row})
    categories = [{"id": label + 1, "name": name} for label, name in enumerate(SHAPES)]
    path = folder / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path
