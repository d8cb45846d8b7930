"""A name → a detector, with weights."""

from __future__ import annotations

import logging
from pathlib import Path

from memvit.models.create import published_weights
from memvit.models.mvit import initialise

from .checkpoints import load_weights
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
    entry = detector_entry(name)
    if pretrained and checkpoint:
        raise ValueError("pretrained=True and checkpoint=… exclude each other")
    path = published_weights(name, entry.weights) if pretrained else checkpoint
    network = DetectionNetwork(entry.config)
    initialise(network.backbone, entry.config.backbone.init_std)
    if path is not None:
        report = load_weights(network, path)
        logger.log(logging.WARNING if report.new else logging.INFO, "%s: %s", path, report)
    return Detector(network, entry).eval()
