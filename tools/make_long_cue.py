"""Write a LongCue data set: python -m tools.make_long_cue data/long_cue"""

from __future__ import annotations

import argparse
from pathlib import Path

from memvit.datasets.long_cue import Scene, write_long_cue


def main() -> None:
    """Read the arguments and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=128, help="training videos")
    parser.add_argument("--val", type=int, default=32, help="held-out videos")
    parser.add_argument("--seconds", type=float, default=36.0, help="of the test videos; training videos are of 8 s up")
    parser.add_argument("--actors", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    parts = {"train": options.train, "val": options.val}
    scenes = {
        part: [
            Scene(
                options.seed + 1_000_000 * place + number,
                options.actors,
                # Of different lengths, so that the lanes of a batch are not all at the same age of their cues.
                # Short ones are more: what is learned from near cues helps with far ones.
                options.seconds if part == "val" else round(8 * (options.seconds / 8) ** (number % 9 / 8)),
            )
            for number in range(count)
        ]
        for place, (part, count) in enumerate(parts.items())
    }
    write_long_cue(options.out, scenes)
    print(options.out)


if __name__ == "__main__":
    main()
