"""The runner of exported programs: a `torch.export` program in the place of the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from memvit.labels import Labels
from memvit.models.memory import MemoryUpdate, MemoryView
from memvit.models.memvit import MeMViT
from memvit.models.output import ModelOutput
from memvit.models.preprocessing import Preprocessing
from memvit.runtime.runner import Runner

from .program import ExportableStep


class ExportedRunner(Runner):
    """Runs a program that `export_step` wrote, one stream at a time, on a CPU in float32."""

    def __init__(
        self,
        network: MeMViT,
        path: str | Path,
        preprocessing: Preprocessing,
        labels: Labels | None = None,
        *,
        height: int,
        width: int,
        people: int = 1,
    ) -> None:
        """`network` is the one that was exported; `height`, `width` and `people` are those given to `export_step`."""
        super().__init__(network, preprocessing, labels, device=torch.device("cpu"), precision="float32")
        self._step = ExportableStep(network, height, width)
        self._program = torch.export.load(str(path)).module()
        self._people = people

    def step(
        self,
        images: Tensor,
        boxes: Sequence[Tensor] | None = None,
        memory: MemoryView | None = None,
        *,
        remember: bool = True,
    ) -> tuple[ModelOutput, MemoryUpdate | None]:
        """One stream after the other; as `Runner.step`. ValueError if a clip has not the program's number of people."""
        assert isinstance(self.network, MeMViT)
        with self.inference():
            images = self.as_images(images)
            self.network.check_inputs(images, boxes)
            steps = [
                self._run(
                    images[clip : clip + 1],
                    None if boxes is None else boxes[clip],
                    None if memory is None else memory.select(slice(clip, clip + 1)),
                )
                for clip in range(len(images))
            ]
            output = ModelOutput.stack([output for output, _ in steps])
            return output, MemoryUpdate.stack([update for _, update in steps]) if remember else None

    def _run(self, image: Tensor, boxes: Tensor | None, memory: MemoryView | None) -> tuple[ModelOutput, MemoryUpdate]:
        valid_mask, past = self._step.past(memory)
        count = self._people if boxes is None else len(boxes)
        if count != self._people:
            raise ValueError(
                f"this program is for exactly {self._people} people a clip, since boxes attend to each other, and the "
                f"clip has {count}; export one for {count}"
            )
        given = torch.zeros(self._people, 4) if boxes is None else boxes.float()
        return self._step.outputs(self._program(image, given, valid_mask, past))
