"""Deterministic weights and pictures for the detection golden files.

Builds on fill.py and adds the rules that a detector needs:

* batch-norm ``running_var`` must be positive: 0.5 + |z|; ``num_batches_tracked`` is 0 (int64).
* the weights (2 or more dimensions) of the RPN, box and mask heads: fill.py's value, minus its
  mean over the inputs of each output (otherwise the positive outputs of the ReLUs make the heads
  answer nearly the same for every box), times a gain, so that scores and boxes spread.

``z`` is fill.py's standard normal of the parameter's full name.
"""

import numpy as np
import torch

from tests.golden import fill

HEADS = ("rpn_head.", "box_head.", "box_predictor.", "mask_head.")
GAINS = (  # the first suffix that fits; any other head weight: 2 ** 0.5
    ("objectness_logits.weight", 3.0),
    ("anchor_deltas.weight", 0.5),
    ("box_predictor.cls_score.weight", 2.0),  # Mask R-CNN: one stage
    ("cls_score.weight", 4.0),  # cascade: box_predictor.{0,1,2}
    ("bbox_pred.weight", 3.0),
    ("mask_head.deconv.weight", 3.0),
    ("mask_head.predictor.weight", 4.0),
    ("weight", 2.0**0.5),
)


def weight(name: str, shape) -> torch.Tensor:
    """The value of the parameter or buffer ``name`` of the given shape."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(tuple(shape), dtype=torch.int64)
    if name.endswith("running_var"):
        return torch.from_numpy((0.5 + np.abs(fill._normal(name, shape))).astype(np.float32))
    value = fill.weight(name, shape)
    if len(shape) < 2 or not any(head in name for head in HEADS):
        return value
    array = value.numpy().astype(np.float64)
    # a transposed convolution is stored (in, out, h, w), all others (out, in, ...)
    inputs = 0 if name.endswith("deconv.weight") else tuple(range(1, len(shape)))
    gain = next(gain for suffix, gain in GAINS if name.endswith(suffix))
    array = gain * (array - array.mean(axis=inputs, keepdims=True))
    return torch.from_numpy(array.astype(np.float32))


def state_dict(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Official names and shapes -> a full state dict."""
    return {name: weight(name, shape) for name, shape in shapes.items()}


def image(name: str, height: int, width: int) -> np.ndarray:
    """A uint8 RGB picture (3, height, width): blocks of four sizes added up."""
    total = np.full((3, height, width), 120, np.float32)
    for side, gain in ((1, 12), (6, 24), (24, 40), (80, 40)):
        grid = fill._normal(f"image/{name}/{side}", (3, -(-height // side), -(-width // side)))
        blocks = grid.repeat(side, axis=1).repeat(side, axis=2)[:, :height, :width]
        total += np.float32(gain) * blocks
    return np.clip(np.rint(total), 0, 255).astype(np.uint8)


def sample(tensor, count: int) -> np.ndarray:
    """``count`` evenly spaced values of the flattened (C order) tensor, all if it is smaller."""
    flat = np.ascontiguousarray(torch.as_tensor(tensor).detach().cpu().numpy()).reshape(-1)
    if flat.size <= count:
        return flat
    return flat[np.arange(count, dtype=np.int64) * (flat.size - 1) // (count - 1)]
