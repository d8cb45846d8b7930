"""The models: pure torch and torchvision, nothing else of ours, usable on their own."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_NAMES_OF = {
    "config": ("HeadConfig", "MemoryConfig", "MViTConfig"),
    "create": ("create_model", "list_models", "load_model", "model_entry"),
    "memory": ("Memory", "MemoryUpdate", "MemoryView"),
    "memvit": ("MeMViT",),
    "mvit": ("MViT",),
    "output": ("ModelOutput",),
    "preprocessing": ("Preprocessing",),
    "weights.files": ("CheckpointError", "LoadReport", "read_checkpoint"),
    "weights.inflate": ("load_image_weights",),
    "weights.safetensors": (
        "CheckpointMetadata",
        "load_safetensors",
        "read_metadata",
        "save_safetensors",
        "state_digest",
    ),
    "zoo": ("MODELS", "ModelEntry", "Weights"),
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import torch when a model is asked for, not when only the header of a file is read."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
