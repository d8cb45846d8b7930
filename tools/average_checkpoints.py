"""Average the weights of two checkpoints of one model, one of which was trained on from the other.

python -m tools.average_checkpoints before.safetensors after.safetensors 0.4 out.safetensors

The share is that of the second file, whose description the result takes over. MemvitError if the models differ.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from memvit.models import CheckpointMetadata, MeMViT, MViT, load_model, save_safetensors
from memvit.models.weights.safetensors import read_metadata
from memvit.types import MemvitError


def described_model(path: Path) -> tuple[CheckpointMetadata, MeMViT | MViT]:
    """The description and the model of a checkpoint. MemvitError if it does not describe itself."""
    description = read_metadata(path)
    if description is None:
        raise MemvitError(f"{path}: this checkpoint does not describe itself; use one that memvit train wrote")
    return description, load_model(description.name, checkpoint=path)[0]


def average(before: Path, after: Path, share: float, out: Path) -> None:
    """Write `(1 - share)` of the first checkpoint plus `share` of the second."""
    description, model = described_model(after)
    first, _ = load_model(description.name, checkpoint=before)
    other, own = first.state_dict(), model.state_dict()
    shapes = [{name: value.shape for name, value in state.items()} for state in (other, own)]
    if shapes[0] != shapes[1]:
        raise MemvitError(f"{before} and {after} are not of one model: their tensors differ")
    with torch.no_grad():
        model.load_state_dict({name: (1 - share) * other[name] + share * value for name, value in own.items()})
    source = {**description.source, "averaged": f"{share:g} of this and {1 - share:g} of what it was trained on from"}
    save_safetensors(out, model, replace(description, source=source))


def main() -> None:
    """Read the arguments and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("share", type=float)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    average(options.before, options.after, options.share, options.out)
    print(options.out)


if __name__ == "__main__":
    main()
