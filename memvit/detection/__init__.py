"""MViTv2 object detectors: Mask R-CNN and Cascade Mask R-CNN. Source: MViTv2, arXiv 2112.01526."""

from .config import DetectorConfig, Selection
from .create import create_detector
from .detections import Detections
from .detector import Detector
from .masks import PackedMasks
from .zoo import DETECTORS, DetectorEntry, detector_entry, list_detectors

__all__ = [
    "DETECTORS",
    "Detections",
    "Detector",
    "DetectorConfig",
    "DetectorEntry",
    "PackedMasks",
    "Selection",
    "create_detector",
    "detector_entry",
    "list_detectors",
]
