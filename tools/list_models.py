"""Write memvit/data/models.json: what every model reads, its counted size, and what is published of it.

python tools/list_models.py

`memvit models` reads the file, and is there at once: importing PyTorch takes seconds, and counting all models half a
minute. Run it after a change of the zoo.
"""

from __future__ import annotations

import json
from typing import Any

import torch

from memvit.detection import DETECTORS, list_detectors
from memvit.detection.network import DetectionNetwork
from memvit.models import MODELS, Weights, create_model, list_models
from memvit.runtime.flops import count_clip_macs, count_parameters
from pipelines.listing import STORED


def counted(name: str) -> dict[str, int]:
    """Parameters, and multiply-accumulates of one view, with memory where there is one; counted on shapes alone."""
    with torch.device("meta"):
        model = create_model(name)
    return {"parameters": count_parameters(model), "macs": count_clip_macs(model)}


def described(name: str) -> dict[str, Any]:
    """What the zoo says of a model."""
    entry, config = MODELS[name], MODELS[name].config
    weights = entry.weights
    return {
        "name": name,
        "frames": config.frames,
        "frame_interval": entry.preprocessing.frame_interval,
        "pixels": config.crop,
        "task": config.head.kind,
        "dataset": entry.dataset,
        "classes": config.head.num_classes,
        "memory_reads": list(config.memory.reads) if config.memory else [],
        **published(weights),
    }


def detector_parameters(name: str) -> int:
    """Parameters of a detector, counted on shapes alone."""
    with torch.device("meta"):
        return count_parameters(DetectionNetwork(DETECTORS[name].config))


def described_detector(name: str) -> dict[str, Any]:
    """What the zoo says of a detector."""
    entry = DETECTORS[name]
    weights = entry.weights
    return {
        "name": name,
        "task": "detection",
        "dataset": entry.dataset,
        "classes": entry.config.num_classes,
        "short_side": entry.short_side,
        "long_side": entry.long_side,
        "published_box_ap": entry.box_ap,
        "published_mask_ap": entry.mask_ap,
        **published(weights),
    }


def published(weights: Weights | None) -> dict[str, Any]:
    """What is published of weights."""
    return {
        "published_million_parameters": weights.million_parameters if weights else None,
        "published_gmacs": weights.gmacs if weights else None,
        "published_accuracy": weights.metric if weights else "",
        "published_by": weights.source if weights else "",
        "licence": weights.licence if weights else "",
        "url": weights.url if weights else None,
    }


def main() -> None:
    """Count everything and write the file."""
    rows = [{**described(name), **counted(name)} for name in list_models()]
    rows += [{**described_detector(name), "parameters": detector_parameters(name)} for name in list_detectors()]
    STORED.write_text("[\n" + ",\n".join(" " + json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n")
    print(f"wrote {STORED}")


if __name__ == "__main__":
    main()
