"""Write the training and test videos of `configs/motion.yaml`: python -m tools.make_motion_set data/motion"""

from __future__ import annotations

import argparse
from pathlib import Path

from memvit.datasets.motion import DIRECTIONS, write_motion_set


def main() -> None:
    """Read the arguments and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=512, help="training videos")
    parser.add_argument("--val", type=int, default=200, help="held-out videos")
    options = parser.parse_args()
    for number, (part, videos) in enumerate({"train": options.train, "val": options.val}.items()):
        print(write_motion_set(options.out / part, videos, seed=number * 1_000_000))
    (options.out / "labels.txt").write_text("".join(f"{name}\n" for name in DIRECTIONS))


if __name__ == "__main__":
    main()
