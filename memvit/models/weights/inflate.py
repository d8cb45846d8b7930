"""Image weights as the beginning of a video model, as MViTv2's Kinetics models with ImageNet pre-training begin.

A 2-D kernel becomes the centre of a 3-D one that is zero elsewhere, temporal positions begin at zero: a video of one
image repeated then gives what the image gives (exactly so without a cls token, which a video counts once, not T times).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from memvit.models.position import resized

from .files import CheckpointError, LoadReport, read_checkpoint


def load_image_weights(model: nn.Module, path: str | Path) -> LoadReport:
    """Fill a video model from an image checkpoint in any supported layout; the head stays new where it has other
    classes, the cls token where the image model has none.

    CheckpointError if the file is not of an image model with the same blocks.
    """
    state, layout = read_checkpoint(path)
    own = model.state_dict()
    filled: dict[str, Tensor] = {}
    new: list[str] = []
    for name, value in own.items():
        image = state.get(name)
        if name.endswith("rel_pos_t"):
            filled[name] = torch.zeros_like(value)
        elif image is not None and (fitting := _inflated(image, value, name)) is not None:
            filled[name] = fitting.to(value.dtype)
        elif name.startswith("head.") or name == "backbone.cls_token":
            new.append(name)
        else:
            found = "missing" if image is None else f"{tuple(image.shape)}"
            raise CheckpointError(
                f"{path}: not image weights for this model: {name} is {found}, expected {tuple(value.shape)}; "
                "use those of the same size (mvitv2_s for mvitv2_s_16x4; in21k for L)"
            )
    model.load_state_dict(filled, strict=False)
    dropped = tuple(sorted(name for name in state if name not in filled))
    return LoadReport(f"{layout} image", tuple(new), dropped)


def _inflated(image: Tensor, like: Tensor, name: str) -> Tensor | None:
    """`image` in the shape of `like`, or None if there is no way."""
    if image.ndim == 4:
        image = image.unsqueeze(2)
    if image.shape == like.shape:
        return image
    if "rel_pos_" in name and image.shape[1:] == like.shape[1:]:
        return resized(image, like.shape[0])
    same_but_time = (
        like.ndim == 5 and image.ndim == 5 and image.shape[:2] + image.shape[3:] == (like.shape[:2] + like.shape[3:])
    )
    if not same_but_time or image.shape[2] != 1:
        return None
    video = torch.zeros_like(like)
    video[:, :, like.shape[2] // 2] = image[:, :, 0].to(like.dtype)
    return video
