"""A checkpoint from one layout to another."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from memvit.detection.checkpoints import save_detectron2
from memvit.detection.create import load_detector
from memvit.detection.zoo import DETECTORS
from memvit.models import load_model
from memvit.models.weights.files import CheckpointError
from memvit.models.weights.layouts import MEMVIT, OURS, SLOWFAST, TIMM, TORCHVISION, Layout, from_ours

TARGETS = ("official", "timm", "torchvision", "memvit")


def convert(source: Path, target: Path, model: str, layout: str, num_classes: int | None = None) -> str:
    """Write the weights of `source`, which are of `model`, to `target`; returns what was done, in a sentence.

    A `.safetensors` target holds the bare parameters; any other is a PyTorch file, for the official layout with the
    parameters under `model_state`. The target is complete or not there at all.
    """
    if target.exists() and target.resolve() == source.resolve():
        raise CheckpointError(f"{target}: source and target are the same file; name another target")
    if model in DETECTORS:
        return _convert_detector(source, target, model, layout)
    built, report = load_model(model, checkpoint=source, num_classes=num_classes)
    if report is not None and report.new:
        raise CheckpointError(f"{source}: {report}; only complete models are converted")
    wanted = _layout(layout, pool_first=built.config.pool_first)
    state = {name: value.contiguous() for name, value in from_ours(built.state_dict(), wanted, built.config).items()}
    unfinished = target.with_name(target.name + ".part")
    _write(state, unfinished, target.suffix, official=layout == "official")
    unfinished.replace(target)
    read = report.layout if report else "?"
    return f"{source} ({read}) → {target} ({wanted.name}), {len(state)} parameters"


def _convert_detector(source: Path, target: Path, model: str, layout: str) -> str:
    """As `convert`; the official layout of detectors is that of detectron2, as a .pkl or as a PyTorch file."""
    if layout not in ("official", "memvit"):
        raise ValueError(f"--to {layout}: detectors have two layouts, official (detectron2's) and memvit")
    detector, report = load_detector(model, checkpoint=source)
    if report is not None and report.new:
        raise CheckpointError(f"{source}: {report}; only complete detectors are converted")
    state = detector.network.state_dict()
    if layout == "official":
        if target.suffix == ".safetensors":
            raise ValueError(f"{target}: detectron2 reads .pkl and .pth files; name one of these")
        save_detectron2(detector.network, target)
    else:
        unfinished = target.with_name(target.name + ".part")
        _write(state, unfinished, target.suffix, official=False)
        unfinished.replace(target)
    read, written = report.layout if report else "?", {"official": "detectron2"}.get(layout, layout)
    return f"{source} ({read}) → {target} ({written}), {len(state)} parameters"


def _layout(name: str, *, pool_first: bool) -> Layout:
    if name not in TARGETS:
        raise ValueError(f"--to {name}: use one of {', '.join(TARGETS)}")
    official = MEMVIT if pool_first else SLOWFAST
    return {"official": official, "timm": TIMM, "torchvision": TORCHVISION, "memvit": OURS}[name]


def _write(state: dict[str, Tensor], path: Path, suffix: str, *, official: bool) -> None:
    if suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(state, path)
    else:
        torch.save({"model_state": state} if official else state, path)
