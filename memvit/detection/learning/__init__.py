"""How detectors learn: which box stands for which object, and what each head is told."""

from .initialise import initialise_heads
from .network import LearningNetwork, LearningRule
from .targets import Targets

__all__ = ["LearningNetwork", "LearningRule", "Targets", "initialise_heads"]
