"""The runner of CUDA devices: one upload and one download a step, and captured graphs in steady state."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memvit.labels import Labels
from memvit.models.boxes import BoxBatch
from memvit.models.config import Grid
from memvit.models.memory import MemoryUpdate, MemoryView
from memvit.models.memvit import MeMViT
from memvit.models.mvit import MViT
from memvit.models.output import ModelOutput
from memvit.models.preprocessing import Normalisation, Preprocessing
from memvit.runtime.columns import CachedAttention
from memvit.runtime.plain import with_cached_columns
from memvit.runtime.runner import Precision, Runner, is_frames
from memvit.runtime.step_tensors import StepLayout

from .graphs import Capture, CudaCapture, GraphCache
from .staging import Downloads, Uploads


class CudaRunner(Runner):
    """Runs the network on a CUDA device in float32 or bfloat16."""

    def __init__(
        self,
        network: MeMViT | MViT,
        preprocessing: Preprocessing,
        labels: Labels | None = None,
        *,
        device: torch.device,
        precision: Precision = "bfloat16",
        capture: Capture | None = None,
    ) -> None:
        """`capture` stands in for CUDA graphs, and `device` for a CUDA device, in tests."""
        is_cuda = device.type == "cuda"
        if str(device) == "cuda":  # tensors name the device by its index
            device = torch.device("cuda", torch.cuda.current_device())
        super().__init__(network, preprocessing, labels, device=device, precision=precision)
        self._twin = with_cached_columns(network, device, self.dtype)
        self._normalisation = Normalisation(preprocessing, device, self.dtype)
        self._uploads, self._downloads = Uploads(device, pinned=is_cuda), Downloads(pinned=is_cuda)
        self._graphs = GraphCache(capture or CudaCapture(device), self._position_columns)

    @property
    def captured_steps(self) -> int:
        """How many shapes of arguments have a captured graph now."""
        return self._graphs.captured

    def _position_columns(self) -> list[object]:
        attentions = [module for module in self._twin.modules() if isinstance(module, CachedAttention)]
        return [columns for attention in attentions for columns in attention.cache.held]

    def step(
        self,
        images: Tensor,
        boxes: Sequence[Tensor] | None = None,
        memory: MemoryView | None = None,
        *,
        remember: bool = True,
    ) -> tuple[ModelOutput, MemoryUpdate | None]:
        """One upload, then a captured graph for a shape that came before; arguments and results as in `Runner.step`."""
        with self.inference(), self._current_device():
            as_clips = images.permute(0, 4, 1, 2, 3) if is_frames(images) and images.ndim == 5 else images
            self._check(as_clips, boxes)
            people = sum(len(box) for box in boxes) if boxes is not None else 0
            images, batch = self._sent(images, boxes)
            update_grids = self._update_grids(images) if remember else None
            layout = StepLayout.of(batch, memory, update_grids, in_slots=self._in_slots)

            def run(tensors: Sequence[Tensor]) -> list[Tensor]:
                some_images, some_boxes, some_memory = layout.inputs(tensors)
                output, update = self._twin.step(
                    self._normalisation(some_images), some_boxes, some_memory, remember=remember
                )
                return layout.flat_outputs(output, update)

            inputs = layout.flat_inputs(images, batch, memory)
            shapes = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
            output, update = layout.outputs(self._graphs.run((shapes, layout), run, inputs))
            if boxes is None or output.box_features is None:
                return output, update
            return ModelOutput(output.logits[:people], output.features, output.box_features[:people]), update

    def _current_device(self) -> AbstractContextManager[object]:
        """Events, streams and captures are those of the current device, which may be another one."""
        return torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()

    @property
    def _in_slots(self) -> bool:
        """Whether the network remembers in slots."""
        plan = self.network.config.memory
        return plan is not None and plan.kind == "slots"

    def _update_grids(self, images: Tensor) -> tuple[Grid, ...] | None:
        """The grids of what the network remembers of these images; None for a network without memory."""
        if not isinstance(self.network, MeMViT) or self.network.config.memory is None:
            return None
        height, width = images.shape[2:4] if is_frames(images) else images.shape[3:5]
        return tuple(self.network.memory_grids(height, width))

    def _check(self, images: Tensor, boxes: Sequence[Tensor] | None) -> None:
        if isinstance(self.network, MeMViT):
            self.network.check_inputs(images, boxes)
        elif boxes is not None:
            raise ValueError("this network classifies single clips: it takes neither boxes nor a memory")

    def _sent(self, images: Tensor, boxes: Sequence[Tensor] | None) -> tuple[Tensor, BoxBatch | None]:
        """Images and boxes on the device, in one copy; boxes padded to a number that many steps share."""
        if boxes is None or not self.wants_boxes:
            if images.device != self.device:
                (images,) = self._uploads.send([images.contiguous()])
            return images, None
        if len(boxes) != len(images):
            raise ValueError(f"{len(images)} clips need a list of {len(images)} box tensors, got {len(boxes)}")
        batch = BoxBatch.of([box.cpu() for box in boxes], self.network.config.head.box_slots)
        batch = batch.padded(bucket(len(batch.rois) + 1)).with_queries(bucket(batch.queries))
        if images.device == self.device:
            rois, *indices = self._uploads.send(batch.tensors)
        else:
            images, rois, *indices = self._uploads.send([images.contiguous(), *batch.tensors])
        return images, BoxBatch(rois, indices[0], indices[1], indices[2], indices[3], batch.queries)

    def as_images(self, images: Tensor) -> Tensor:
        """The images as they are: frames are normalised on the device, within the step."""
        return images

    def to_host(self, tensors: Sequence[Tensor]) -> list[NDArray[np.float32]]:
        """The values of outputs as float32 arrays, all in one copy through pinned memory."""
        return self._downloads.fetch(tensors)


def bucket(count: int) -> int:
    """The next power of two: numbers of boxes that share a captured graph."""
    return 1 << max(count - 1, 0).bit_length()
