"""Write the training and test pictures of `configs/shapes.yaml`: python -m tools.make_shapes data/shapes"""

from __future__ import annotations

import argparse
from pathlib import Path

from memvit.datasets.shapes import write_shapes


def main() -> None:
    """Read the arguments and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=1000, help="training pictures")
    parser.add_argument("--val", type=int, default=200, help="held-out pictures")
    options = parser.parse_args()
    for number, (part, pictures) in enumerate({"train": options.train, "val": options.val}.items()):
        print(write_shapes(options.out / part, pictures, seed=number * 1_000_000))


if __name__ == "__main__":
    main()
