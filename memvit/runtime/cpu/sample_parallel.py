"""Samples of a batch computed side by side on a CPU, each by a crew of threads of its own.

All threads on one sample wait for the slowest of them after every product, some thousand times a call; a crew to a
sample waits once. The numbers are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import TypeVar

import torch

Part = TypeVar("Part")


def sample_parallel(work: Callable[[slice], Part], samples: int) -> list[Part]:
    """What `work` gives for slices of the samples, in order; all of torch's threads are shared out. No gradients."""
    found: list[Part] = []
    start = 0
    while start < samples:
        threads, crews = torch.get_num_threads(), worker_count(samples - start)
        each = (samples - start) // crews
        slices = [slice(first, first + each) for first in range(start, start + crews * each, each)]
        if crews == 1:
            found.append(work(slices[0]))
        else:
            found += _crews(crews, threads).map(_without_gradients(work), slices)
        start = slices[-1].stop
    return found


def worker_count(samples: int) -> int:
    """The most crews of equal size that have a sample each."""
    threads = torch.get_num_threads()
    if torch.is_autocast_enabled("cpu"):
        return 1  # a setting of the caller's thread
    return max(crews for crews in range(1, max(1, min(threads, samples)) + 1) if threads % crews == 0)


def _without_gradients(work: Callable[[slice], Part]) -> Callable[[slice], Part]:
    """With the caller's inference mode, which threads do not inherit."""
    inference = torch.is_inference_mode_enabled()

    def quietly(samples: slice) -> Part:
        with torch.inference_mode(inference), torch.no_grad():
            return work(samples)

    return quietly


@cache
def _crews(crews: int, threads: int) -> ThreadPoolExecutor:
    """A thread a crew, which computes with its share of `threads`."""
    all_there = Barrier(crews + 1)

    def start() -> None:
        torch.get_num_threads()  # a thread's first question about it sets it to the default
        torch.set_num_threads(threads // crews)
        all_there.wait()

    pool = ThreadPoolExecutor(crews, "memvit-crew", start)
    for _ in range(crews):
        pool.submit(int)  # a pool starts its threads one by one, as work comes
    all_there.wait()
    torch.set_num_threads(threads)  # the last number that any thread sets is what new threads begin with
    return pool
