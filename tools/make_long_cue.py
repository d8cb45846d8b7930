"""Write a LongCue data set: python -m tools.make_long_cue data/long_cue"""

from __future__ import annotations

import argparse
from pathlib import Path

from memvit.datasets.long_cue import Scene, write_long_cue

SHORTEST_LONG_SECONDS = 24.0


def training_seconds(number: int, long: int, longest_seconds: float) -> float:
    """The length of a training video: the first `long` have 24 s to the longest, the others 8 to 10."""
    if number >= long:
        return 8.0 + number % 3
    return SHORTEST_LONG_SECONDS + (longest_seconds - SHORTEST_LONG_SECONDS) * number / max(long - 1, 1)


def main() -> None:
    """Read the arguments and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=320, help="training videos")
    parser.add_argument("--long", type=int, default=0, help="how many of the training videos are long")
    parser.add_argument("--longest", type=float, default=64.0, help="seconds of the longest of these; others from 24")
    parser.add_argument("--val", type=int, default=24, help="held-out videos")
    parser.add_argument("--seconds", type=float, default=36.0, help="of the test videos; training videos have 8 to 10")
    parser.add_argument("--actors", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    parts = {"train": options.train, "val": options.val}
    scenes = {
        part: [
            Scene(
                options.seed + 1_000_000 * place + number,
                options.actors,
                # Of different lengths, so that the lanes of a batch are not all at the same age of their cues. Short:
                # a read works alike from any distance, and what is learned from near cues holds for far ones.
                options.seconds if part == "val" else training_seconds(number, options.long, options.longest),
            )
            for number in range(count)
        ]
        for place, (part, count) in enumerate(parts.items())
    }
    write_long_cue(options.out, scenes)
    print(options.out)


if __name__ == "__main__":
    main()
