"""The models: pure torch and torchvision, nothing else of ours, usable on their own."""

from .answer import Answer
from .build import create_model, list_models, load_model, model_entry
from .checkpoints import CheckpointError, LoadReport, read_checkpoint
from .config import HeadConfig, MemoryConfig, MViTConfig
from .exported import export_step
from .inflate import load_image_weights
from .macs import count_clip_macs, count_macs, count_parameters
from .memory import Kept, Memory, Recalled
from .memory_pool import MemoryPool
from .memvit import MeMViT
from .mvit import MViT
from .onednn import can_pack
from .own import Description, describe, load_own, save_own, state_digest
from .packed import packed
from .zoo import MODELS, ModelEntry, Preprocessing, Weights

__all__ = [
    "MODELS",
    "Answer",
    "CheckpointError",
    "Description",
    "HeadConfig",
    "Kept",
    "LoadReport",
    "MViT",
    "MViTConfig",
    "MeMViT",
    "Memory",
    "MemoryConfig",
    "MemoryPool",
    "ModelEntry",
    "Preprocessing",
    "Recalled",
    "Weights",
    "can_pack",
    "count_clip_macs",
    "count_macs",
    "count_parameters",
    "create_model",
    "describe",
    "export_step",
    "list_models",
    "load_image_weights",
    "load_model",
    "load_own",
    "model_entry",
    "packed",
    "read_checkpoint",
    "save_own",
    "state_digest",
]
