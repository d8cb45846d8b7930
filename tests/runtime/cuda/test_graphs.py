"""Captured steps: when a step is captured, what a replay copies, and what is held for it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from memvit.runtime.cuda.graphs import MAX_GRAPHS, WARM_UP_CALLS, CudaCapture, GraphCache, Replay
from memvit.runtime.cuda.runner import bucket


class Captures:
    """A stand-in for CUDA graphs: a replay calls the function, and writes to the same outputs."""

    def __init__(self) -> None:
        self.captured = self.replayed = 0

    def __call__(self, function: Callable[[], list[Tensor]]) -> tuple[Replay, list[Tensor]]:
        self.captured += 1
        outputs = function()

        def replay() -> None:
            self.replayed += 1
            for output, value in zip(outputs, function(), strict=True):
                output.copy_(value)

        return replay, outputs


def double(inputs: Sequence[Tensor]) -> list[Tensor]:
    return [tensor * 2 for tensor in inputs]


def test_a_step_is_captured_when_its_shape_comes_again() -> None:
    captures = Captures()
    cache = GraphCache(captures)
    for value in range(4):
        (found,) = cache.run("a", double, [torch.full((3,), float(value))])
        assert found.tolist() == [2.0 * value] * 3
    assert (captures.captured, captures.replayed) == (1, 3), "the first call is not captured, all others are replays"
    cache.run("b", double, [torch.zeros(3)])
    assert captures.captured == 1, "a shape that came once"


def test_outputs_are_the_callers_and_inputs_stay_as_they_are() -> None:
    cache = GraphCache(Captures())
    given = [torch.full((2,), float(value)) for value in range(4)]
    found = [cache.run("a", double, [tensor])[0] for tensor in given]
    assert [output[0].item() for output in found] == [0.0, 2.0, 4.0, 6.0], "a replay overwrites nobody's outputs"
    assert [tensor[0].item() for tensor in given] == [0.0, 1.0, 2.0, 3.0]


def test_the_shapes_that_came_last_are_kept() -> None:
    captures = Captures()
    cache = GraphCache(captures)
    for key in range(MAX_GRAPHS + 1):
        cache.run(key, double, [torch.zeros(1)])
        cache.run(key, double, [torch.zeros(1)])
    assert captures.captured == MAX_GRAPHS + 1
    cache.run(MAX_GRAPHS, double, [torch.zeros(1)])
    assert captures.captured == MAX_GRAPHS + 1, "the newest is still there"
    cache.run(0, double, [torch.zeros(1)])
    assert captures.captured == MAX_GRAPHS + 1, "the oldest is gone: its shape comes for the first time"


def test_constants_live_as_long_as_the_graph_that_reads_them() -> None:
    """A graph reads by address. Columns that a cache drops must not be freed under it."""
    held = [torch.ones(2)]
    cache = GraphCache(Captures(), lambda: list(held))
    constant = weakref.ref(held[0])
    for _ in range(2):
        cache.run("a", double, [torch.zeros(2)])
    held.clear()
    gc.collect()
    assert constant() is not None
    for key in range(MAX_GRAPHS):
        cache.run(key, double, [torch.zeros(1)])
    gc.collect()
    assert constant() is None


def test_numbers_of_boxes_share_graphs_in_powers_of_two() -> None:
    assert [bucket(count) for count in (0, 1, 2, 3, 4, 5, 8, 9, 100)] == [1, 1, 2, 4, 4, 8, 8, 16, 128]


def test_a_step_that_cannot_be_captured_runs_without_a_graph(caplog: pytest.LogCaptureFixture) -> None:
    captures = Captures()
    failing = False

    def capture(function: Callable[[], list[Tensor]]) -> tuple[Replay, list[Tensor]]:
        if failing:
            raise torch.OutOfMemoryError("CUDA out of memory.\nmore lines")
        return captures(function)

    cache = GraphCache(capture)
    for _ in range(2):
        cache.run("small", double, [torch.zeros(1)])
    failing = True
    for value in range(4):
        assert cache.run("large", double, [torch.full((9,), float(value))])[0].tolist() == [2.0 * value] * 9
    assert cache.captured == 0, "the memory of the other graphs is given back"
    assert [record.getMessage() for record in caplog.records] == [
        "a step could not be captured as a CUDA graph and runs without one (CUDA out of memory.)"
    ], "tried once"
    failing = False
    for _ in range(2):
        cache.run("small", double, [torch.zeros(1)])
    assert cache.captured == 1


class Graph:
    """A stand-in for `torch.cuda.CUDAGraph`."""

    def replay(self) -> None:
        """Do nothing."""


class Stream:
    """A stand-in for `torch.cuda.Stream`."""

    def __init__(self, device: object = None) -> None:
        self.device = device

    def wait_stream(self, other: Stream) -> None:
        """Do nothing."""


class Cuda:
    """The parts of `torch.cuda` that a capture uses, with torch's rule that a pool lives as long as its graphs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.current = self.default = Stream("cuda:1")
        self.capture_streams: list[Stream] = []
        self.graphs: list[tuple[object, weakref.ref[Graph]]] = []
        for name in ("current_stream", "set_stream", "stream", "graph", "graph_pool_handle"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)

    def current_stream(self, device: object = None) -> Stream:
        return self.current

    def set_stream(self, stream: Stream) -> None:
        self.current = stream

    def graph_pool_handle(self) -> object:
        return object()

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    @contextmanager
    def graph(self, graph: Graph, pool: object, stream: Stream, *, capture_error_mode: str) -> Iterator[None]:
        assert capture_error_mode == "thread_local"
        users = [other() for of_pool, other in self.graphs if of_pool is pool]
        assert not users or any(users), "torch: use_count > 0"
        self.graphs.append((pool, weakref.ref(graph)))
        self.capture_streams.append(stream)
        self.current = stream
        yield
        self.current = self.default  # not reached after an error, as in torch up to 2.11


def test_every_capture_uses_one_stream_of_its_device_and_a_pool_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch)
    capture, streams = CudaCapture(torch.device("cuda:1")), set()

    def step() -> list[Tensor]:
        streams.add(cuda.current)
        return []

    for _ in range(3):
        capture(step)  # the graph is dropped at once
        gc.collect()
        assert cuda.current is cuda.default
    assert {str(stream.device) for stream in streams} == {"cuda:1"}
    assert len(streams) == 2, "one to warm up and one to capture"
    assert set(cuda.capture_streams) < streams and len({pool for pool, _ in cuda.graphs}) == 1


def test_a_failed_capture_leaves_stream_and_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, calls = Cuda(monkeypatch), 0
    capture = CudaCapture(torch.device("cuda:1"))

    def step() -> list[Tensor]:
        nonlocal calls
        calls += 1
        if calls > WARM_UP_CALLS:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return []

    with pytest.raises(torch.OutOfMemoryError):
        capture(step)
    assert cuda.current is cuda.default
    gc.collect()
    assert not any(graph() for _, graph in cuda.graphs), "nothing holds the pool"
    capture(list)
    assert cuda.graphs[-1][0] is not cuda.graphs[0][0], "a new pool"
