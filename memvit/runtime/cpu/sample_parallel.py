"""Samples of a batch computed in parallel on a CPU, each worker with a share of the threads.

All threads on one sample wait for the slowest of them after every product, some thousand times a call. Workers that
have a sample each wait for each other once. The numbers are the same.
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
    """What `work` gives for slices of the samples, in order; all of torch's threads are shared out.

    `work` is called without gradients and in the caller's inference mode. Threads do not have the caller's autocast.
    """
    found: list[Part] = []
    start = 0
    while start < samples:
        threads, workers = torch.get_num_threads(), worker_count(samples - start)
        each = (samples - start) // workers
        slices = [slice(first, first + each) for first in range(start, start + workers * each, each)]
        if workers == 1:
            found.append(work(slices[0]))
        else:
            found += _pool(workers, threads).map(_without_gradients(work), slices)
        start = slices[-1].stop
    return found


def worker_count(samples: int) -> int:
    """The most workers of equal size that have a sample each."""
    threads = torch.get_num_threads()
    return max(workers for workers in range(1, max(1, min(threads, samples)) + 1) if threads % workers == 0)


def _without_gradients(work: Callable[[slice], Part]) -> Callable[[slice], Part]:
    """`work` in the inference mode of the caller, which threads do not inherit."""
    inference = torch.is_inference_mode_enabled()

    def quietly(samples: slice) -> Part:
        with torch.inference_mode(inference), torch.no_grad():
            return work(samples)

    return quietly


@cache
def _pool(workers: int, threads: int) -> ThreadPoolExecutor:
    """One thread for each worker. It computes with its share of `threads`."""
    all_there = Barrier(workers + 1)

    def start() -> None:
        torch.get_num_threads()  # a thread's first question about it sets it to the default
        torch.set_num_threads(threads // workers)
        all_there.wait()

    pool = ThreadPoolExecutor(workers, "memvit-worker", start)
    for _ in range(workers):
        pool.submit(int)  # a pool starts its threads one by one, as work comes
    all_there.wait()
    torch.set_num_threads(threads)  # the last number that any thread sets is what new threads begin with
    return pool
