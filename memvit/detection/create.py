"""A name → a detector, with weights."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch

from memvit.models import CheckpointError, LoadReport
from memvit.models.create import published_weights
from memvit.models.mvit import initialise
from memvit.types import MemvitError

from .checkpoints import load_weights, read_categories
from .config import Selection
from .detector import Detector
from .network import DetectionNetwork
from .zoo import detector_entry

logger = logging.getLogger("memvit")


def create_detector(name: str, *, checkpoint: str | Path | None = None, pretrained: bool = False) -> Detector:
    """Build a detector of the zoo, in eval mode.

    Args:
        name: See `list_detectors`.
        checkpoint: Load this file: detectron2's .pkl or .pth, or a state dict of ours. A file of an image model fills
            the backbone alone; that the rest stayed new is logged as a warning.
        pretrained: Load the published weights instead, through torch.hub's cache.

    Raises:
        ValueError: No such detector, both kinds of weights asked for, or (CheckpointError) weights that do not fit.
    """
    detector, report = load_detector(name, checkpoint=checkpoint, pretrained=pretrained)
    if report is not None:
        logger.log(logging.WARNING if report.new else logging.INFO, "%s: %s", checkpoint or name, report)
    return detector


def load_detector(
    name: str, *, checkpoint: str | Path | None = None, pretrained: bool = False, num_classes: int | None = None
) -> tuple[Detector, LoadReport | None]:
    """As `create_detector`, with the report of what the weights did; None if there were none.

    The number of classes is `num_classes`, or that of the checkpoint, if it names its classes, or that of the zoo. With
    `num_classes`, the layers of another number of classes stay new.
    """
    entry = detector_entry(name)
    if pretrained and checkpoint:
        raise ValueError("pretrained=True and checkpoint=… exclude each other")
    path = published_weights(name, entry.weights) if pretrained else checkpoint
    categories = read_categories(checkpoint) if checkpoint else None
    classes = num_classes or (len(categories.ids) if categories else entry.config.num_classes)
    if categories and len(categories.ids) != classes:
        categories = None
    config = replace(entry.config, num_classes=classes)
    network = DetectionNetwork(config)
    initialise(network.backbone, config.backbone.init_std)
    report = load_weights(network, path, new_classes=num_classes is not None) if path is not None else None
    return Detector(network, entry, categories=categories).eval(), report


def open_detector(
    name: str,
    checkpoint: Path | None = None,
    *,
    random_weights: bool = False,
    device: torch.device | str = "cpu",
    precision: str = "float32",
    min_score: float = Selection.min_score,
) -> Detector:
    """A detector that is ready to run, with trained weights, or with random ones if `random_weights`.

    Weights come from `checkpoint`, else from the published file. MemvitError, or ValueError, in one sentence, if there
    are none, if they leave a part of the detector untrained, or if there is no such detector or precision.
    """
    entry = detector_entry(name)
    if precision not in ("float32", "bfloat16"):
        raise MemvitError(f"precision {precision}: a detector runs in float32 or bfloat16")
    if random_weights and checkpoint:
        raise MemvitError("--random-weights and --checkpoint exclude each other")
    if not (random_weights or checkpoint or entry.weights):
        raise MemvitError(f"{name} has no published weights; pass a checkpoint, or --random-weights to try it")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # random weights are the same ones every time
        detector, report = load_detector(name, checkpoint=checkpoint, pretrained=not (random_weights or checkpoint))
    if report is not None and report.new:
        raise CheckpointError(f"{checkpoint}: {report}; train those first, or choose the detector that the file is of")
    detector.rule = replace(detector.rule, min_score=min_score)
    return detector.to(device, torch.bfloat16 if precision == "bfloat16" else torch.float32)
