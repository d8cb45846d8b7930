"""Steps that are captured once and replayed: a small batch is launched as fast as a large one.

A captured step reads and writes tensors at fixed addresses. Inputs are copied to them, and outputs from them. A step is
captured when its shapes come for the second time, so shapes that come once cost nothing more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

MAX_GRAPHS = 16
"""Shapes whose steps are kept; each holds its own inputs and outputs, the memory in between is shared."""
WARM_UP_CALLS = 3
"""Calls before a capture: libraries choose their kernels and allocate their workspaces in the first ones."""

Step: TypeAlias = Callable[[Sequence[Tensor]], list[Tensor]]
"""A function of tensors on the device to tensors on the device, without any wait for the device."""
Replay: TypeAlias = Callable[[], None]
Capture: TypeAlias = Callable[[Callable[[], list[Tensor]]], tuple[Replay, list[Tensor]]]
"""A function → its replay, and its outputs, which every replay overwrites."""


class CudaCapture:
    """Captures functions as CUDA graphs that share one pool of memory.

    A replay may overwrite the outputs of other graphs of the pool, so outputs are copied after each replay. Replays
    must follow one another on one stream.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Callable[[], list[Tensor]]) -> tuple[Replay, list[Tensor]]:
        """A replay of the function, and its outputs, which every replay overwrites."""
        side = torch.cuda.Stream(self._device)
        side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_CALLS):
                function()
        torch.cuda.current_stream(self._device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the device meanwhile, a detector for example: only this thread's calls are captured.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            outputs = function()
        return graph.replay, outputs


class CapturedStep:
    """One step for inputs of one shape."""

    def __init__(
        self,
        step: Step,
        inputs: Sequence[Tensor],
        capture: Capture,
        constants: Callable[[], object],
    ) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        self._replay, self._outputs = capture(lambda: step(self._inputs))
        self._constants = constants()
        """A graph reads tensors by their address: what it has read must not be freed before the graph is."""

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The outputs for these inputs, which are the caller's."""
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given, non_blocking=True)
        self._replay()
        return [output.clone() for output in self._outputs]


class GraphCache:
    """Captured steps by the shapes of their inputs, those used last."""

    def __init__(self, capture: Capture, constants: Callable[[], object] = lambda: None) -> None:
        """`capture`: `CudaCapture`, or a stand-in for it. `constants` returns the tensors that steps read besides their
        inputs and may otherwise be freed.
        """
        self._capture, self._constants = capture, constants
        self._steps: OrderedDict[object, CapturedStep | None] = OrderedDict()
        """None for shapes that came once."""

    def run(self, key: object, step: Step, inputs: Sequence[Tensor]) -> list[Tensor]:
        """What `step` gives for the inputs. `key` is all that it depends on besides values, shapes included."""
        captured = self._steps.get(key)
        if captured is None and key in self._steps:
            captured = CapturedStep(step, inputs, self._capture, self._constants)
        self._steps[key] = captured
        self._steps.move_to_end(key)
        while len(self._steps) > MAX_GRAPHS:
            self._steps.popitem(last=False)
        return step(inputs) if captured is None else captured(inputs)
