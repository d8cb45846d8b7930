"""Which detectors exist: name → config and weights. Figures are those that the release in detectron2 prints."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, replace

from memvit.models.config import MViTConfig
from memvit.models.create import unknown_name
from memvit.models.zoo import ARCHITECTURES, Weights

from .config import DetectorConfig

RELEASE = "https://dl.fbaipublicfiles.com/detectron2/MViTv2/"
APACHE = "Apache-2.0"
WINDOW = 56


def _backbone(architecture: str, drop_path: float) -> MViTConfig:
    """An image model with windows, which gives the maps of its stages; without a cls token."""
    config = replace(ARCHITECTURES[architecture], cls_token=False, dim_mul_in_attention=True)
    return replace(config, window=WINDOW, stage_norms=True, drop_path=drop_path)


BACKBONES: dict[str, MViTConfig] = {
    "mvitv2_t": _backbone("mvitv2_t", 0.2),
    "mvitv2_s": _backbone("mvitv2_s", 0.2),
    "mvitv2_b": _backbone("mvitv2_b", 0.4),
    "mvitv2_l": _backbone("mvitv2_l", 0.5),
    "mvitv2_h": _backbone("mvitv2_h", 0.6),
    # Ours: small enough to train on two CPU cores.
    "mvitv2_tiny": replace(
        _backbone("mvitv2_t", 0.0), crop=128, embed_dim=24, depth=4, stage_starts=(1, 2, 3), window=16, init_std=0.1
    ),
}


@dataclass(frozen=True)
class DetectorEntry:
    """One name of the zoo."""

    backbone: str
    """The image model that it is trained from, as `memvit models` names it."""
    config: DetectorConfig
    dataset: str
    weights: Weights | None
    box_ap: float | None = None
    """Published box AP on COCO val2017, in percent."""
    mask_ap: float | None = None
    """Published mask AP on COCO val2017, in percent."""
    short_side: int = 800
    long_side: int = 1333


def _released(
    size: str, pretraining: str, folder: str, aps: tuple[float, float], gmacs: float, params: float
) -> dict[str, DetectorEntry]:
    """A released detector; `folder` says where its file is, and whether it is a cascade."""
    architecture, (box_ap, mask_ap) = f"mvitv2_{size}", aps
    cascade = folder.startswith("cascade")
    figures = f"{box_ap} box AP, {mask_ap} mask AP"
    weights = Weights(f"{RELEASE}{folder}.pkl", APACHE, "detectron2 projects/MViTv2", figures, gmacs, params)
    tag = "coco_in21k" if pretraining == "in21k" else "coco"
    config = DetectorConfig(BACKBONES[architecture], cascade)
    entry = DetectorEntry(f"{architecture}.{pretraining}", config, "coco", weights, box_ap, mask_ap)
    return {f"{'cascade_' if cascade else ''}mask_rcnn_{architecture}.{tag}": entry}


TINY = DetectorConfig(
    BACKBONES["mvitv2_tiny"], cascade=False, channels=64, hidden_dim=128, anchor_sizes=(16, 32, 64, 128, 256)
)
"""Ours: small enough to train on two CPU cores."""
# NOTE: the paths of some files say in12k; what these were trained from is what the image models call in21k.
DETECTORS: dict[str, DetectorEntry] = {
    **_released("t", "in1k", "mask_rcnn_mvitv2_t_3x/f307611773/model_final_1a1c30", (48.3, 43.8), 279, 44),
    **_released("t", "in1k", "cascade_mask_rcnn_mvitv2_t_3x/f308344828/model_final_c6967a", (52.2, 45.0), 701, 76),
    **_released("s", "in1k", "cascade_mask_rcnn_mvitv2_s_3x/f308344647/model_final_279baf", (53.2, 46.0), 748, 87),
    **_released("b", "in1k", "cascade_mask_rcnn_mvitv2_b_3x/f308109448/model_final_421a91", (54.1, 46.7), 814, 103),
    **_released(
        "b", "in21k", "cascade_mask_rcnn_mvitv2_b_in12k_3x/f309003202/model_final_be5168", (54.9, 47.4), 814, 103
    ),
    **_released(
        "l", "in21k", "cascade_mask_rcnn_mvitv2_l_in12k_lsj_50ep/f308099658/model_final_c41c5a", (55.8, 48.3), 1519, 270
    ),
    **_released(
        "h", "in21k", "cascade_mask_rcnn_mvitv2_h_in12k_lsj_3x/f309013744/model_final_30d36b", (56.1, 48.5), 3084, 718
    ),
    "mask_rcnn_mvitv2_tiny": DetectorEntry("mvitv2_tiny", TINY, "", None, short_side=128, long_side=256),
    "cascade_mask_rcnn_mvitv2_tiny": DetectorEntry(
        "mvitv2_tiny", replace(TINY, cascade=True), "", None, short_side=128, long_side=256
    ),
}


def list_detectors(pattern: str = "*") -> list[str]:
    """Names that `create_detector` knows and that match a shell pattern, sorted."""
    return sorted(fnmatch.filter(DETECTORS, pattern))


def detector_entry(name: str) -> DetectorEntry:
    """The zoo's row of a name; ValueError with the nearest names if there is none."""
    if name in DETECTORS:
        return DETECTORS[name]
    raise unknown_name("detector", name, DETECTORS)
