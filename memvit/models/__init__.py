"""The models: pure torch and torchvision, nothing else of ours, usable on their own."""

from memvit.models.weights.files import CheckpointError, LoadReport, read_checkpoint
from memvit.models.weights.inflate import load_image_weights
from memvit.models.weights.safetensors import (
    CheckpointMetadata,
    load_safetensors,
    read_metadata,
    save_safetensors,
    state_digest,
)
from memvit.runtime.cpu.onednn import can_pack
from memvit.runtime.cpu.prepack import prepack
from memvit.runtime.export.program import export_step
from memvit.runtime.flops import count_clip_macs, count_macs, count_parameters
from memvit.runtime.memory_pool import MemoryPool

from .build import create_model, list_models, load_model, model_entry
from .config import HeadConfig, MemoryConfig, MViTConfig
from .memory import Memory, MemoryUpdate, MemoryView
from .memvit import MeMViT
from .mvit import MViT
from .output import ModelOutput
from .preprocessing import Preprocessing
from .zoo import MODELS, ModelEntry, Weights

__all__ = [
    "MODELS",
    "CheckpointError",
    "CheckpointMetadata",
    "HeadConfig",
    "LoadReport",
    "MViT",
    "MViTConfig",
    "MeMViT",
    "Memory",
    "MemoryConfig",
    "MemoryPool",
    "MemoryUpdate",
    "MemoryView",
    "ModelEntry",
    "ModelOutput",
    "Preprocessing",
    "Weights",
    "can_pack",
    "count_clip_macs",
    "count_macs",
    "count_parameters",
    "create_model",
    "export_step",
    "list_models",
    "load_image_weights",
    "load_model",
    "load_safetensors",
    "model_entry",
    "prepack",
    "read_checkpoint",
    "read_metadata",
    "save_safetensors",
    "state_digest",
]
