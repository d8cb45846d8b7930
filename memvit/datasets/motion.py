"""A small classification set whose classes are directions of motion: no single frame tells them apart.

The data set is for trying out training in minutes, and for tests. A shape of random form, colour and place moves over a
textured ground, to the right, left, down or up, and re-enters at the opposite edge. It starts at a random place, so
that no place tells its direction. Everything follows from the seed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from memvit.types import Image
from memvit.video.writer import VideoWriter

DIRECTIONS = {"right": (1, 0), "left": (-1, 0), "down": (0, 1), "up": (0, -1)}
SECONDS, FRAMES_PER_SECOND, SIDE = 1.2, 30.0, 64


def render(seed: int, direction: str) -> list[Image]:
    """The frames of one video, each (side, side, 3) uint8 RGB."""
    generator = np.random.default_rng(seed)
    ground = np.kron(generator.integers(20, 90, (16, 16, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))
    colour = generator.integers(120, 255, 3, dtype=np.uint8)
    radius, travel, is_round = generator.uniform(5, 9), generator.uniform(18, 32), generator.random() < 0.5
    begin = generator.uniform(0, SIDE, 2)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    frames = []
    count = round(SECONDS * FRAMES_PER_SECOND)
    for index in range(count):
        x, y = begin + np.array(DIRECTIONS[direction]) * travel * index / (count - 1)
        across, down = (
            np.abs((axis - centre + SIDE / 2) % SIDE - SIDE / 2) for axis, centre in ((columns, x), (rows, y))
        )
        inside = np.hypot(across, down) < radius if is_round else np.maximum(across, down) < radius
        frame = ground.copy()
        frame[inside] = colour
        frames.append(frame)
    return frames


def write_motion_set(folder: Path, videos: int, seed: int) -> Path:
    """Write videos and a list of them with a line `path label` each; returns the path of the list."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(videos):
        label = index % len(DIRECTIONS)
        path = folder / f"{index:04d}.mp4"
        with VideoWriter(path, frames_per_second=FRAMES_PER_SECOND) as video:
            for number, frame in enumerate(render(seed + index, list(DIRECTIONS)[label])):
                video.write(frame, number / FRAMES_PER_SECOND)
        lines.append(f"{path.name} {label}\n")
    listing = folder / "list.txt"
    listing.write_text("".join(lines))
    return listing
