"""How well people keep their numbers in a generated crowd that crosses and hides each other, and what that costs.

    python -m tools.bench_tracking [--crowds 3] [--seconds 20] [--people 20] [--picture crowd.png]

A detector's faults are made with fixed seeds: boxes tremble, a tenth of the people is missed, more of those who are
partly hidden, and one box in twenty is false. Prints IDF1 and identity switches at several rates, from boxes alone and
with the appearance of the boxes, and the time for a frame, as Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from memvit.evaluation.identity import identity_score
from memvit.tracking import Tracker
from memvit.tracking.appearance import describe
from memvit.types import PersonBoxes
from tools.crowd import Crowd

RATES = (25, 8, 2, 1)
MISSED, HIDDEN_MISSED, FALSE, TREMBLE = 0.1, 0.3, 0.05, 0.02
HALF = np.array([0.02, 0.08])
"""Half the width and height of the boxes that are timed."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """What is true and what a detector finds at one instant."""

    pts_seconds: float
    persons: NDArray[np.int64]
    true_boxes: Floats
    found: PersonBoxes
    appearance: Floats


def detected(crowd: Crowd, number: int) -> Frame:
    """A frame of the crowd, with a detector's faults."""
    rng = np.random.default_rng((crowd.seed, number, 3))
    persons, boxes, visible = crowd.frames[number]
    there = visible > 0
    persons, boxes, visible = persons[there], boxes[there].clip(0, 1), visible[there]
    seen = rng.random(len(boxes)) >= MISSED + HIDDEN_MISSED * (1 - visible)
    sides = np.tile(boxes[seen, 2:] - boxes[seen, :2], 2)
    right = boxes[seen] + sides * rng.normal(0, TREMBLE, sides.shape)
    false = rng.poisson(FALSE * len(boxes))
    centres, sizes = rng.random((false, 2)), rng.uniform(0.05, 0.3, (false, 2))
    wrong = np.concatenate((centres - sizes / 2, centres + sizes / 2), axis=1)
    all_boxes = np.concatenate((right, wrong)).clip(0, 1).astype(np.float32)
    scores = np.concatenate((rng.uniform(0.5, 1.0, len(right)), rng.uniform(0.5, 0.7, false))).astype(np.float32)
    order = rng.permutation(len(all_boxes))
    found = PersonBoxes(all_boxes[order], scores[order])
    looks = describe(crowd.image(number), found.xyxy)
    return Frame(number / crowd.frames_per_second, persons, boxes, found, looks)


def at_rate(frames: list[Frame], rate: float) -> list[Frame]:
    """The frames that a detector sees which runs so often a second."""
    last = frames[-1].pts_seconds
    times = np.array([frame.pts_seconds for frame in frames])
    return [frames[int(np.abs(times - instant).argmin())] for instant in np.arange(0, last + 1e-9, 1 / rate)]


def track(frames: list[Frame], *, appearance: bool) -> list[NDArray[np.int64]]:
    """The numbers of the found boxes of each frame."""
    tracker = Tracker()
    return [
        tracker.update(frame.pts_seconds, frame.found, frame.appearance if appearance else None) for frame in frames
    ]


def score(frames: list[Frame], numbers: list[NDArray[np.int64]]) -> tuple[float, int]:
    """IDF1 and switches."""
    result = identity_score(
        ((frame.persons, frame.true_boxes), (given, frame.found.xyxy))
        for frame, given in zip(frames, numbers, strict=True)
    )
    return result.idf1, result.switches


def milliseconds_a_frame(people: int, *, appearance: bool, frames: int = 300) -> float:
    """Median time of `update` with this many people in each frame."""
    rng = np.random.default_rng(0)
    centres = rng.uniform(0.1, 0.9, (people, 2))
    looks = rng.random((people, 88)).astype(np.float32)
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    tracker, times = Tracker(), []
    for number in range(frames):
        centres += rng.normal(0, 0.002, centres.shape)
        xyxy = np.hstack((centres - HALF, centres + HALF)).astype(np.float32)
        boxes = PersonBoxes(xyxy, np.full(people, 0.9, dtype=np.float32))
        begin = time.perf_counter()
        tracker.update(number / 25, boxes, looks if appearance else None)
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000


def milliseconds_a_box(boxes: int = 20) -> float:
    """Median time of `describe` for one of many boxes of 200×80 pixels."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    corners = rng.uniform(0, 1, (boxes, 2)) * (1280 - 80, 720 - 200)
    xyxy = (np.hstack((corners, corners + np.array([80, 200]))) / (1280, 720, 1280, 720)).astype(np.float32)
    times = []
    for _ in range(50):
        begin = time.perf_counter()
        describe(image, xyxy)
        times.append(time.perf_counter() - begin)
    return statistics.median(times) / boxes * 1000


def main() -> None:
    """Read the arguments, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--crowds", type=int, default=3, help="how many crowds, with seeds 0, 1, …")
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--picture", type=Path, help="write a picture of the first crowd, half way")
    options = parser.parse_args()
    crowds = [Crowd(seed, options.people, options.seconds) for seed in range(options.crowds)]
    if options.picture:
        Picture.fromarray(crowds[0].image(len(crowds[0].frames) // 2)).save(options.picture)
    frames = [[detected(crowd, number) for number in range(len(crowd.frames))] for crowd in crowds]
    print(
        "IDF1 / switches, means of the crowds\n\n| detections a second | boxes alone | with appearance |\n|---|---|---|"
    )
    for rate in RATES:
        cells = []
        for appearance in (False, True):
            scores = [
                score(part, track(part, appearance=appearance)) for part in (at_rate(all_, rate) for all_ in frames)
            ]
            idf1, switches = np.mean(scores, axis=0)
            cells.append(f"{idf1:.2f} / {switches:.0f}")
        print(f"| {rate} | {' | '.join(cells)} |")
    alone, both = (milliseconds_a_frame(20, appearance=appearance) for appearance in (False, True))
    print(f"\n20 people: {alone:.2f} ms a frame from boxes alone, {both:.2f} ms with appearance")
    print(f"appearance of a box of 200×80 pixels: {milliseconds_a_box():.2f} ms")


if __name__ == "__main__":
    main()
