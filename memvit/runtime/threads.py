"""How many threads of a CPU a network is run with.

The threads of a product wait for each other. A small network has products so short that the wait costs more than the
threads gain, and many times more where other processes are busy: a thread that does not get a core holds up all others.
So a small network is run by one thread. A larger one takes all that torch has.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch import nn

SMALL_PARAMETERS = 5_000_000
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
TOPOLOGY = Path("/sys/devices/system/cpu")

_shares: set[int] = set()
"""The numbers of threads that `share_threads` has set."""


def is_small(network: nn.Module) -> bool:
    """Whether a network is faster with one thread when other processes are busy."""
    return sum(parameter.numel() for parameter in network.parameters()) < SMALL_PARAMETERS


def share_threads(count: int) -> None:
    """Give the networks of this process `count` threads, of which a small one still takes one."""
    _shares.add(count)
    torch.set_num_threads(count)


@contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """Run the body with one thread if that is wanted and the user has not chosen a number; restored afterwards.

    A user chooses with `torch.set_num_threads`, or with the environment variables in `VARIABLES`.
    """
    before = torch.get_num_threads()
    if not wanted or before == 1 or is_chosen(before):
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def is_chosen(count: int) -> bool:
    """Whether a number of threads is the user's choice, not torch's own or that of `share_threads`."""
    if count in _shares:
        return False
    return any(os.environ.get(name) for name in VARIABLES) or count not in default_counts()


def default_counts() -> set[int]:
    """The numbers of threads that torch may begin with: that of processors of this process, or that of their cores."""
    processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = set()
    for processor in processors:
        with suppress(OSError):
            cores.add((TOPOLOGY / f"cpu{processor}" / "topology" / "thread_siblings_list").read_text())
    return {len(processors), len(cores)}
