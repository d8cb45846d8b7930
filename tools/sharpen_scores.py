"""Multiply the scores by which a model with memory in slots weighs clips, so that rare ones outweigh many others.

python -m tools.sharpen_scores model.safetensors 6 out.safetensors

A slot is the softmax-weighted mean of its clips. Training with short videos teaches which clips matter, but not by how
much they must outweigh the hundreds of clips that a slot of minutes holds. A factor above 1 makes the same choice more
decided. Choose it on held-out videos of the length that the model is for. MemvitError if the model has no slots.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from memvit.models import MeMViT, save_safetensors
from memvit.types import MemvitError
from tools.average_checkpoints import described_model


def sharpen(path: Path, factor: float, out: Path) -> None:
    """Write the model of `path` with its scores multiplied."""
    description, model = described_model(path)
    if not isinstance(model, MeMViT) or model.config.memory is None or model.config.memory.kind != "slots":
        raise MemvitError(f"{path}: this model has no memory in slots, so no scores to multiply")
    with torch.no_grad():
        for parameter in (*model.layer_scores.parameters(), *model.box_scores.parameters()):
            parameter.mul_(factor)
    save_safetensors(out, model, replace(description, source={**description.source, "scores_multiplied": factor}))


def main() -> None:
    """Read the arguments and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("factor", type=float)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    sharpen(options.model, options.factor, options.out)
    print(options.out)


if __name__ == "__main__":
    main()
