"""How a network is run: on which device, in which precision, with how many threads."""

from .devices import for_device
from .memory_pool import MemoryPool
from .runner import Precision, Runner

__all__ = ["MemoryPool", "Precision", "Runner", "for_device"]
