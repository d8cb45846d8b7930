"""How a network is run: on which device, in which precision, with how many threads."""

from .memory_pool import MemoryPool
from .runner import Precision, Runner, for_device

__all__ = ["MemoryPool", "Precision", "Runner", "for_device"]
