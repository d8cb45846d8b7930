"""Steps that are captured once and replayed: a small batch is launched as fast as a large one.

A captured step reads and writes tensors at fixed addresses. Inputs are copied to them, and outputs from them. A step is
captured when its shapes come for the second time, so shapes that come once cost nothing more.
"""

from __future__ import annotations

import logging
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

logger = logging.getLogger("memvit")
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
        # Streams of this device, and the same ones for every capture: the memory of a pool and the workspaces of cuBLAS
        # belong to one stream each. Two of them, so that the workspace of the captured kernels lies in the pool.
        self._warm_up_stream, self._capture_stream = torch.cuda.Stream(device), torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()
        self._empty_graph: torch.cuda.CUDAGraph | None = None
        """Keeps the pool alive: torch refuses a pool whose graphs are all gone."""

    def __call__(self, function: Callable[[], list[Tensor]]) -> tuple[Replay, list[Tensor]]:
        """A replay of the function, and its outputs, which every replay overwrites."""
        current = torch.cuda.current_stream(self._device)
        self._warm_up_stream.wait_stream(current)
        with torch.cuda.stream(self._warm_up_stream):
            for _ in range(WARM_UP_CALLS):
                function()
        current.wait_stream(self._warm_up_stream)
        try:
            if self._empty_graph is None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # torch warns of a graph without kernels
                    self._empty_graph, _ = self._captured(list)
            graph, outputs = self._captured(function)
        except BaseException:
            # The pool holds what the failed capture allocated; without this graph it can be freed.
            self._pool, self._empty_graph = torch.cuda.graph_pool_handle(), None
            raise
        finally:
            torch.cuda.set_stream(current)  # torch up to 2.11 stays on the other stream if the end of a capture fails
        return graph.replay, outputs

    def _captured(self, function: Callable[[], list[Tensor]]) -> tuple[torch.cuda.CUDAGraph, list[Tensor]]:
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the device meanwhile, a detector for example: only this thread's calls are captured.
        with torch.cuda.graph(graph, self._pool, self._capture_stream, capture_error_mode="thread_local"):
            outputs = function()
        return graph, outputs


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
        self._steps: OrderedDict[object, CapturedStep | Literal["came once", "not captured"]] = OrderedDict()

    @property
    def captured(self) -> int:
        """How many steps are replayed when they come again."""
        return sum(isinstance(step, CapturedStep) for step in self._steps.values())

    def run(self, key: object, step: Step, inputs: Sequence[Tensor]) -> list[Tensor]:
        """What `step` gives for the inputs. `key` is all that it depends on besides values, shapes included."""
        known = self._steps.get(key)
        if known is None:
            self._steps[key] = "came once"
        elif known == "came once":
            self._steps[key] = self._captured(step, inputs)
        self._steps.move_to_end(key)
        while len(self._steps) > MAX_GRAPHS:
            self._steps.popitem(last=False)
        found = self._steps[key]
        return found(inputs) if isinstance(found, CapturedStep) else step(inputs)

    def _captured(self, step: Step, inputs: Sequence[Tensor]) -> CapturedStep | Literal["not captured"]:
        try:
            return CapturedStep(step, inputs, self._capture, self._constants)
        except RuntimeError as error:
            # A capture needs more memory than a call, since it cannot use what torch has cached for calls. The graphs
            # of other shapes are given up, too: with them goes the memory that the failed capture took.
            self._steps.clear()
            reason = str(error).partition("\n")[0]
            logger.warning("a step could not be captured as a CUDA graph and runs without one (%s)", reason)
            return "not captured"
