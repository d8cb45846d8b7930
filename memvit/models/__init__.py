"""The models: pure torch and torchvision, nothing else of ours, usable on their own."""

from .config import HeadConfig, MemoryConfig, MViTConfig
from .create import create_model, list_models, load_model, model_entry
from .memory import Memory, MemoryUpdate, MemoryView
from .memvit import MeMViT
from .mvit import MViT
from .output import ModelOutput
from .preprocessing import Preprocessing
from .weights.files import CheckpointError, LoadReport, read_checkpoint
from .weights.inflate import load_image_weights
from .weights.safetensors import (
    CheckpointMetadata,
    load_safetensors,
    read_metadata,
    save_safetensors,
    state_digest,
)
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
    "MemoryUpdate",
    "MemoryView",
    "ModelEntry",
    "ModelOutput",
    "Preprocessing",
    "Weights",
    "create_model",
    "list_models",
    "load_image_weights",
    "load_model",
    "load_safetensors",
    "model_entry",
    "read_checkpoint",
    "read_metadata",
    "save_safetensors",
    "state_digest",
]
