"""How a network is run: on which device, in which precision, with how many threads."""

from .runner import Precision, Runner

__all__ = ["Precision", "Runner"]
