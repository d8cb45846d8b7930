"""A network as it is run: on its device, in its precision, with packed weights where a CPU has them.

The engine and Python programs run networks through this one class, so both have the same numbers and the same speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Tensor

from memvit.labels import Labels
from memvit.models import Memory, MemoryUpdate, MemoryView, MeMViT, ModelOutput, MViT, Preprocessing
from memvit.runtime.cpu.onednn import can_pack
from memvit.runtime.cpu.prepack import prepack

from .threads import is_small, one_thread

Precision = Literal["float32", "bfloat16", "int8"]


class Runner:
    """Runs a network without gradients; called like the network, it returns logits and memory.

    Clips and boxes may be on any device. Results and memories are on the runner's device. The network's weights are
    those of when the runner was made: make another runner after they have changed.
    """

    def __init__(
        self,
        network: MeMViT | MViT,
        preprocessing: Preprocessing,
        labels: Labels | None = None,
        *,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
    ) -> None:
        """`precision`: what is computed in; `int8` (linear layers in 8-bit products) is for CPUs. The network is moved
        and converted in place. ValueError if the device does not have the precision.
        """
        self.device, self.precision = torch.device(device), precision
        self.dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self.network = network.to(device=self.device, dtype=self.dtype).eval()
        self.preprocessing = preprocessing
        """How frames become clips."""
        self.labels = labels
        """The names of the classes, in the order of the logits; None where nobody named them."""
        self._running = self._prepared()
        self._is_single = self.device.type == "cpu" and is_small(network)

    def _prepared(self) -> MeMViT | MViT:
        """The network as the device likes it: on a CPU, with its linear layers packed."""
        is_int8 = self.precision == "int8"
        if self.device.type == "cpu" and can_pack(self.dtype, int8=is_int8):
            return prepack(self.network, int8=is_int8)
        if is_int8:
            raise ValueError(f"8-bit products are for CPUs that oneDNN knows, not for {self.device}; use bfloat16")
        return self.network

    def threads(self) -> AbstractContextManager[None]:
        """A context with the number of threads that this network is run with, for what is computed around a call."""
        return one_thread(self._is_single)

    @property
    def wants_boxes(self) -> bool:
        """Whether the network answers for people rather than for whole clips."""
        return self.network.config.head.kind == "action"

    def __call__(
        self,
        clips: Tensor,
        boxes: Sequence[Tensor] | None = None,
        memory: Memory | None = None,
        *,
        remember: bool = True,
    ) -> tuple[Tensor, Memory | None]:
        """Logits, and what the streams remember afterwards: None for a network without memory.

        Arguments are those of `MeMViT.forward`, or of `MViT.forward`, which takes clips alone.
        """
        answer = self.answer(clips, boxes, memory, remember=remember)
        return answer.logits, answer.memory

    def answer(
        self,
        clips: Tensor,
        boxes: Sequence[Tensor] | None = None,
        memory: Memory | None = None,
        *,
        remember: bool = True,
    ) -> ModelOutput:
        """As a call, with the features that the logits are read from. ValueError if an argument does not fit."""
        network = self._running
        with torch.inference_mode(), self.threads():
            clips = clips.to(self.device, self.dtype)
            if isinstance(network, MeMViT):
                return network.answer(clips, boxes, memory, remember=remember)
            if boxes is not None or memory is not None:
                raise ValueError("this network classifies single clips: it takes neither boxes nor a memory")
            return network.answer(clips)

    def step(
        self, clips: Tensor, boxes: Sequence[Tensor] | None = None, recalled: MemoryView | None = None
    ) -> tuple[ModelOutput, MemoryUpdate]:
        """As `answer`, for whoever keeps the memories of many streams (`MemoryPool`): see `MeMViT.step`.

        ValueError for a network without memory, or an argument that does not fit.
        """
        if not isinstance(self._running, MeMViT):
            raise ValueError("this network has no memory: call it instead")
        with torch.inference_mode(), self.threads():
            return self._running.step(clips.to(self.device, self.dtype), boxes, recalled)
