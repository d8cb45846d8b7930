"""Which models exist: name → config, and name → weights with where they come from and what they need.

Two tables, because architecture and weights are separate questions. A name is `architecture.tag`; the tag says the data
set and with it the head. Published figures are as their authors print them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .config import HeadConfig, MemoryConfig, MViTConfig
from .preprocessing import Preprocessing

VIDEO = MViTConfig()
IMAGE = MViTConfig(
    frames=1,
    patch_kernel=(1, 7, 7),
    patch_stride=(1, 4, 4),
    pool_kernel=(1, 3, 3),
    kv_stride=(1, 4, 4),
    cls_token=False,
    rel_pos_temporal=False,
    head=HeadConfig("classification", 1000, dropout=0.0),
)
BASE = {"depth": 24, "stage_starts": (2, 5, 21)}
LARGE = {"depth": 48, "stage_starts": (2, 8, 44), "embed_dim": 144, "heads": 2}
HUGE = {"depth": 80, "stage_starts": (4, 12, 72), "embed_dim": 192, "heads": 3}
REMEMBERING = replace(VIDEO, pool_first=True, non_square="clamped")

ARCHITECTURES: dict[str, MViTConfig] = {
    "mvitv2_t": replace(IMAGE, depth=10, stage_starts=(1, 3, 8)),
    "mvitv2_s": IMAGE,
    "mvitv2_b": replace(IMAGE, **BASE),  # type: ignore[arg-type]
    # NOTE: the released in1k L is the one model whose width grows in the MLP.
    "mvitv2_l": replace(IMAGE, **LARGE, dim_mul_in_attention=False),  # type: ignore[arg-type]
    "mvitv2_h": replace(IMAGE, **HUGE, cls_token=True),  # type: ignore[arg-type]
    "mvitv2_s_16x4": VIDEO,
    "mvitv2_b_32x3": replace(VIDEO, frames=32, **BASE),  # type: ignore[arg-type]
    "mvitv2_l_40x3": replace(VIDEO, frames=40, crop=312, **LARGE),  # type: ignore[arg-type]
    "memvit_16_16x4": replace(REMEMBERING, memory=MemoryConfig(layers=tuple(range(0, 16, 2)), reads=(2, 4))),
    "memvit_24_32x3": replace(
        REMEMBERING,
        frames=32,
        **BASE,  # type: ignore[arg-type]
        memory=MemoryConfig(layers=tuple(range(0, 24, 2)), reads=(3, 6)),
    ),
    # Ours: small enough to train and to test on two CPU cores.
    "mvitv2_tiny_8x4": replace(VIDEO, frames=8, crop=64, embed_dim=24, depth=4, stage_starts=(1, 2, 3)),
    "memvit_tiny_8x4": replace(
        REMEMBERING,
        frames=8,
        crop=64,
        embed_dim=48,
        depth=4,
        stage_starts=(2,),
        kv_stride=(1, 4, 4),
        init_std=0.1,
        memory=MemoryConfig(layers=(0, 2), reads=(2, 4), stride=(4, 1, 1)),
        head=HeadConfig("action", 80, dropout=0.0, box_blocks=1, box_slots=6),
    ),
}


@dataclass(frozen=True)
class Weights:
    """A released file: where it is, what it may be used for, and what its authors measured with it."""

    url: str | None
    licence: str
    source: str
    """Who published the figures."""
    metric: str = ""
    """The published accuracy, named."""
    gmacs: float | None = None
    """Published "GFLOPs", which are multiply-accumulates, of one view."""
    million_parameters: float | None = None
    """As published; the builder's own count is exact."""


@dataclass(frozen=True)
class ModelEntry:
    """One name of the zoo."""

    architecture: str
    dataset: str
    head: HeadConfig
    preprocessing: Preprocessing
    weights: Weights | None
    as_in21k: bool = False
    """The in21k releases have a cls token, and their L widens in attention like all others."""

    @property
    def config(self) -> MViTConfig:
        """The architecture with this entry's head."""
        config = replace(ARCHITECTURES[self.architecture], head=self.head)
        return replace(config, cls_token=True, dim_mul_in_attention=True) if self.as_in21k else config


MEMVIT = "https://dl.fbaipublicfiles.com/memvit/models/"
PYSLOWFAST = "https://dl.fbaipublicfiles.com/pyslowfast/model_zoo/mvitv2/pysf_video_models/"
IMAGENET = "https://dl.fbaipublicfiles.com/mvit/mvitv2_models/"
KINETICS_CLASSES = {"k400": 400, "k600": 600, "k700": 700}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

NON_COMMERCIAL, APACHE = "CC-BY-NC-4.0", "Apache-2.0"


def _memvit(
    architecture: str, pretraining: str, frames: int, interval: int, metric: str, gmacs: float, params: float
) -> dict[str, ModelEntry]:
    """The AVA model and the Kinetics model that it started from."""
    layers = ARCHITECTURES[architecture].depth
    stem = f"MeMViT_{layers}L_{frames}x{interval}_{pretraining.upper()}"
    ava = Weights(f"{MEMVIT}AVA/{stem}pt.pyth", NON_COMMERCIAL, "MeMViT README", metric, gmacs, params)
    kinetics = Weights(f"{MEMVIT}Kinetics/{stem}.pyth", NON_COMMERCIAL, "MeMViT README")
    return {
        f"{architecture}.ava_{pretraining}": ModelEntry(
            architecture,
            "ava",
            HeadConfig("action", 80, box_blocks=1),
            Preprocessing(frames, interval, crop="none"),
            ava,
        ),
        f"{architecture}.{pretraining}": ModelEntry(
            architecture,
            pretraining,
            HeadConfig("classification", KINETICS_CLASSES[pretraining]),
            Preprocessing(frames, interval),
            kinetics,
        ),
    }


def _video(
    architecture: str, dataset: str, file: str, metric: str, gmacs: float, params: float
) -> dict[str, ModelEntry]:
    frames, interval = (int(number) for number in architecture.rsplit("_", 1)[1].split("x"))
    large = architecture == "mvitv2_l_40x3"
    something = dataset == "ssv2"
    preprocessing = Preprocessing(
        frames,
        interval,
        short_side=312 if large else 224,
        mean=IMAGENET_MEAN if large else (0.45, 0.45, 0.45),
        std=IMAGENET_STD if large else (0.225, 0.225, 0.225),
        channels="bgr" if something else "rgb",
    )
    weights = Weights(PYSLOWFAST + file, APACHE, "PySlowFast projects/mvitv2", metric, gmacs, params)
    head = HeadConfig("classification", 174 if something else KINETICS_CLASSES[dataset])
    return {f"{architecture}.{dataset}": ModelEntry(architecture, dataset, head, preprocessing, weights)}


def _image(architecture: str, dataset: str, metric: str, gmacs: float, params: float) -> dict[str, ModelEntry]:
    large_set = dataset == "in21k"
    file = f"MViTv2_{architecture[-1].upper()}_{dataset}.pyth"
    weights = Weights(IMAGENET + file, APACHE, "mvit README", metric, gmacs, params)
    preprocessing = Preprocessing(1, 1, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    head = HeadConfig("classification", 19168 if large_set else 1000, dropout=0.0)
    return {f"{architecture}.{dataset}": ModelEntry(architecture, dataset, head, preprocessing, weights, large_set)}


MODELS: dict[str, ModelEntry] = {
    **_image("mvitv2_t", "in1k", "82.3 top-1", 4.7, 24.2),
    **_image("mvitv2_s", "in1k", "83.6 top-1", 7.0, 34.9),
    **_image("mvitv2_b", "in1k", "84.4 top-1", 10.2, 51.5),
    **_image("mvitv2_l", "in1k", "85.3 top-1", 42.1, 218.0),
    **_image("mvitv2_b", "in21k", "", 10.2, 65.4),
    **_image("mvitv2_l", "in21k", "87.5 top-1 after in1k fine-tuning", 42.1, 234.6),
    **_image("mvitv2_h", "in21k", "88.0 top-1 after in1k fine-tuning", 120.6, 694.8),
    **_video("mvitv2_s_16x4", "k400", "MViTv2_S_16x4_k400_f302660347.pyth", "81.0 top-1 (1×5 views)", 64, 34.5),
    **_video("mvitv2_b_32x3", "k400", "MViTv2_B_32x3_k400_f304025456.pyth", "82.9 top-1 (1×5 views)", 225, 51.2),
    **_video("mvitv2_l_40x3", "k400", "MViTv2_L_40x3_k400_f306903192.pyth", "86.1 top-1 (3×5 views)", 2828, 217.6),
    **_video("mvitv2_s_16x4", "ssv2", "MViTv2_S_16x4_ssv2_f308341823.pyth", "68.2 top-1 (3×1 views)", 64, 34.4),
    **_video("mvitv2_b_32x3", "ssv2", "MViTv2_B_32x3_ssv2_f305803282.pyth", "70.5 top-1 (3×1 views)", 225, 51.1),
    **_video("mvitv2_l_40x3", "ssv2", "MViTv2_L_40x3_ssv2_f309603968.pyth", "73.3 top-1 (3×1 views)", 2828, 213.1),
    **_memvit("memvit_16_16x4", "k400", 16, 4, "29.3 mAP", 58.7, 35.4),
    **_memvit("memvit_24_32x3", "k600", 32, 3, "32.3 mAP", 211.7, 52.6),
    **_memvit("memvit_24_32x3", "k700", 32, 3, "34.4 mAP", 211.7, 52.6),
    "mvitv2_tiny_8x4": ModelEntry(
        "mvitv2_tiny_8x4",
        "",
        HeadConfig("classification", 400, dropout=0.0),
        Preprocessing(8, 4, short_side=64),
        None,
    ),
    "memvit_tiny_8x4": ModelEntry(
        "memvit_tiny_8x4",
        "ava",
        ARCHITECTURES["memvit_tiny_8x4"].head,
        Preprocessing(8, 4, short_side=64, crop="none"),
        None,
    ),
}
