"""Write a LongCount data set, and say what guessing gives: python -m tools.make_long_count data/long_count"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from memvit.datasets.ava_files import AvaTable, read_label_map, read_table
from memvit.datasets.long_count import CountScene, write_long_count
from memvit.evaluation.ava import evaluate


def chance(truth: AvaTable, names: dict[int, str], draws: int = 50) -> float:
    """The mean mAP of random scores for the boxes whose action needs memory."""
    people = truth.where(np.isin(truth.actions, list(names)))
    generator = np.random.default_rng(0)
    values = []
    for _ in range(draws):
        guesses = [replace(people, actions=np.full(len(people), n), last=generator.random(len(people))) for n in names]
        values.append(evaluate(people, AvaTable.join(guesses), label_map=names)["mAP@0.5IOU"])
    return float(np.mean(values))


def main() -> None:
    """Read the arguments, write, and compute chance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=160, help="training videos, of 12 s to the longest")
    parser.add_argument("--longest", type=float, default=64.0, help="seconds of the longest training video")
    parser.add_argument("--val", type=int, default=24, help="held-out videos")
    parser.add_argument("--seconds", type=float, default=130.0, help="of the held-out videos")
    parser.add_argument("--actors", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    def scene(seed: int, seconds: float) -> CountScene:
        return CountScene(options.seed + seed, options.actors, seconds, pause_seconds=max(5, int(seconds) // 4))

    lengths = np.linspace(12.0, options.longest, max(options.train, 1))
    write_long_count(
        options.out,
        {
            "train": [scene(number, float(lengths[number])) for number in range(options.train)],
            "val": [scene(1_000_000 + number, options.seconds) for number in range(options.val)],
        },
    )
    names = read_label_map(options.out / "counts.pbtxt")
    print(f"{options.out}: guessing gives mAP {chance(read_table(options.out / 'val.csv'), names):.3f}")


if __name__ == "__main__":
    main()
