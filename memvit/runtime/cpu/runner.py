"""The runner of CPUs: packed weights, chunked attention, samples in parallel, one thread for small networks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from memvit.labels import Labels
from memvit.models.memory import MemoryUpdate, MemoryView
from memvit.models.memvit import MeMViT
from memvit.models.mvit import MViT
from memvit.models.output import ModelOutput
from memvit.models.preprocessing import Preprocessing
from memvit.runtime.runner import Precision, Runner
from memvit.runtime.threads import is_small, one_thread

from .prepack import prepack
from .sample_parallel import sample_parallel, worker_count

PARALLEL_VALUES = 2**17
"""Values of a sample's patches from which samples are computed in parallel: Python serves one core at a time."""


@dataclass(frozen=True)
class _Step:
    """The outputs of the network for some of the samples."""

    output: ModelOutput
    update: MemoryUpdate | None


class CpuRunner(Runner):
    """Runs the network on a CPU in float32, bfloat16, or with linear layers in 8 bits."""

    def __init__(
        self,
        network: MeMViT | MViT,
        preprocessing: Preprocessing,
        labels: Labels | None = None,
        *,
        precision: Precision = "float32",
    ) -> None:
        """ValueError if this CPU does not have the precision."""
        super().__init__(network, preprocessing, labels, device=torch.device("cpu"), precision=precision)
        self._twin = prepack(network, dtype=self.dtype, int8=precision == "int8")
        self._is_small = is_small(network)

    @contextmanager
    def threads(self) -> Iterator[None]:
        """One thread for a small network, all threads for others."""
        with one_thread(self._is_small):
            yield

    def step(
        self,
        images: Tensor,
        boxes: Sequence[Tensor] | None = None,
        memory: MemoryView | None = None,
        *,
        remember: bool = True,
    ) -> tuple[ModelOutput, MemoryUpdate | None]:
        """Large samples in parallel, small ones together; arguments and results as in `Runner.step`."""

        def run(samples: slice) -> _Step:
            some_boxes = None if boxes is None else boxes[samples]
            some_memory = None if memory is None else memory.select(samples).without_empty()
            return _Step(*self._twin.step(images[samples], some_boxes, some_memory, remember=remember))

        with self.inference(), self.threads():
            images = self.as_images(images)
            if boxes is not None and len(boxes) != len(images):
                raise ValueError(f"{len(images)} clips need a list of {len(images)} box tensors, got {len(boxes)}")
            if not (self._fills_a_core(images) and worker_count(len(images)) > 1):
                step = run(slice(0, len(images)))
                return step.output, step.update
            steps = sample_parallel(run, len(images))
            updates = [step.update for step in steps if step.update is not None]
            output = ModelOutput.stack([step.output for step in steps])
            return output, MemoryUpdate.stack(updates) if updates else None

    def _fills_a_core(self, images: Tensor) -> bool:
        """Whether one sample is so large that a core works on it mostly outside Python."""
        config = self.network.config
        patches = math.prod(images.shape[2:]) // math.prod(config.patch_stride[-(images.ndim - 2) :])
        return patches * config.embed_dim >= PARALLEL_VALUES
