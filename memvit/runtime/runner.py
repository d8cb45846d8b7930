"""How a network is run: on which device, in which precision, with how many threads.

The engine and Python programs run networks through a `Runner`, so both have the same numbers and the same speed. What a
device needs (packed weights, pinned memory, captured graphs) is known to its runner alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memvit.labels import Labels
from memvit.models.memory import Memory, MemoryUpdate, MemoryView
from memvit.models.memory_kinds import memory_after, memory_view
from memvit.models.memvit import MeMViT
from memvit.models.mvit import MViT
from memvit.models.output import ModelOutput
from memvit.models.preprocessing import Preprocessing, model_input

Precision = Literal["float32", "bfloat16", "int8"]


class Runner(ABC):
    """Runs a network without gradients. It is called like the network, and returns logits and memory.

    Images and boxes may be on any device. Outputs and memories are on the runner's device. The weights are those of
    when the runner was made: make another runner after they have changed.
    """

    def __init__(
        self,
        network: MeMViT | MViT,
        preprocessing: Preprocessing,
        labels: Labels | None = None,
        *,
        device: torch.device,
        precision: Precision,
    ) -> None:
        self.network = network
        """The network as it was given. It is not changed; do not run it, run the runner."""
        self.preprocessing = preprocessing
        """How frames become clips."""
        self.labels = labels
        """The names of the classes, in the order of the logits; None where they have no names."""
        self.device, self.precision = device, precision
        self.dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        """The type of the images that the network is given, and of memories."""

    @property
    def wants_boxes(self) -> bool:
        """Whether the network classifies people rather than whole clips."""
        return self.network.config.head.kind == "action"

    @contextmanager
    def threads(self) -> Iterator[None]:
        """A context with the number of threads that this network is run with, for what is computed around a step."""
        yield

    @contextmanager
    def inference(self) -> Iterator[None]:
        """A context without gradients and without the caller's autocast: the runner has a precision of its own."""
        kind = self.device.type
        autocast = torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()
        with torch.inference_mode(), autocast:
            yield

    @abstractmethod
    def step(
        self,
        images: Tensor,
        boxes: Sequence[Tensor] | None = None,
        memory: MemoryView | None = None,
        *,
        remember: bool = True,
    ) -> tuple[ModelOutput, MemoryUpdate | None]:
        """One clip of each of B streams: the output of the network, and what to add to the memory.

        `images`: (B, 3, T, H, W) or (B, 3, H, W), normalised, or (B, T, H, W, 3) uint8 RGB frames, which are normalised
        here. `boxes`: B tensors (N_i, 4), xyxy in pixels of the images, for a network that wants them. `memory`: what
        the streams read (`MemoryPool.view`), None at their start. The update is None for a network without memory, and
        with `remember=False`. ValueError if an argument does not fit.
        """

    def __call__(
        self,
        clips: Tensor,
        boxes: Sequence[Tensor] | None = None,
        memory: Memory | None = None,
        *,
        persons: Sequence[Tensor | Sequence[int] | None] | None = None,
        remember: bool = True,
    ) -> tuple[Tensor, Memory | None]:
        """Logits, and what the streams remember afterwards: None for a network without memory.

        Arguments are those of `MeMViT.forward`; clips also as in `step`. ValueError if one does not fit.
        """
        output = self.forward_features(clips, boxes, memory, persons=persons, remember=remember)
        return output.logits, output.memory

    def forward_features(
        self,
        clips: Tensor,
        boxes: Sequence[Tensor] | None = None,
        memory: Memory | None = None,
        *,
        persons: Sequence[Tensor | Sequence[int] | None] | None = None,
        remember: bool = True,
    ) -> ModelOutput:
        """As a call, with the features that the logits are read from."""
        plan = self.network.config.memory
        with self.inference():
            view = None
            if memory is not None:
                if not isinstance(self.network, MeMViT) or plan is None:
                    raise ValueError("this network has no memory: pass memory=None")
                height, width = clips.shape[2:4] if is_frames(clips) else clips.shape[3:5]
                self.network.check_memory(memory, streams=len(clips), height=height, width=width)
                memory = memory.to(self.device, self.dtype)
                view = memory_view(memory, plan)
            output, update = self.step(clips, boxes, view, remember=remember)
            if plan is None or update is None:
                return output
            return output.with_memory(memory_after(memory, update, plan, boxes, persons))

    def as_images(self, images: Tensor) -> Tensor:
        """Images as the network reads them, on the device and in the type that it computes in."""
        images = images.to(self.device)
        if is_frames(images):
            return model_input(images, self.preprocessing, self.dtype)
        return images.to(self.dtype)

    def to_host(self, tensors: Sequence[Tensor]) -> list[NDArray[np.float32]]:
        """The values of outputs as float32 arrays, which are the caller's. All are copied at once."""
        if not tensors:
            return []
        return split_like(torch.cat([tensor.flatten().float() for tensor in tensors]).cpu(), tensors)


def split_like(flat: Tensor, tensors: Sequence[Tensor]) -> list[NDArray[np.float32]]:
    """The values of tensors, one after the other in `flat` on the CPU, as arrays of their shapes."""
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape).numpy() for part, tensor in zip(parts, tensors, strict=True)]


def is_frames(images: Tensor) -> bool:
    """Whether images are (B, T, H, W, 3) uint8 frames, and not normalised yet."""
    return images.dtype == torch.uint8
