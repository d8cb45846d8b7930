"""A config → the network that it describes."""

from __future__ import annotations

from .config import MViTConfig
from .memvit import MeMViT
from .mvit import MViT


def build(config: MViTConfig) -> MeMViT | MViT:
    """A new model of a config, in eval mode: MeMViT where it has a memory or classifies people."""
    remembers = config.head.kind == "action" or config.pool_first
    return (MeMViT(config) if remembers else MViT(config)).eval()
