"""Captured steps: when a step is captured, what a replay copies, and what is held for it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from memvit.runtime.cuda.graphs import MAX_GRAPHS, GraphCache, Replay
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
