"""Several real processes over torch.distributed, and a stand-in for NCCL that refuses CPU tensors as NCCL does."""

from __future__ import annotations

import contextlib
import pickle
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from tests.forks import Forked

CUDA_ONLY = "cuda_only"
"""A backend that has nothing for CPU tensors: a collective on one fails with "No backend type associated"."""


def in_processes(
    size: int, folder: Path, work: Callable[..., Any], *arguments: Any, backend: str = "gloo"
) -> list[Any]:
    """What `work(*arguments)` returns in each of `size` processes of one process group, by rank."""
    folder.mkdir(parents=True, exist_ok=True)
    processes = [Forked(_member, rank, size, str(folder), backend, work, arguments) for rank in range(size)]
    for process in processes:
        process.join(120)
    for process in processes:
        process.kill()
    faults = [path.read_text() for path in sorted(folder.glob("fault-*.txt"))]
    assert not faults, "\n".join(faults)
    return [pickle.loads((folder / f"result-{rank}.pickle").read_bytes()) for rank in range(size)]


def _member(
    rank: int, size: int, folder: str, backend: str, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    try:
        torch.set_num_threads(1)
        if backend == CUDA_ONLY:
            dist.Backend.register_backend(CUDA_ONLY, _gloo, devices=["cuda"])
        dist.init_process_group(backend, f"file://{folder}/store", rank=rank, world_size=size)
        result = work(*arguments)
        (Path(folder) / f"result-{rank}.pickle").write_bytes(pickle.dumps(result))
        with contextlib.suppress(Exception):
            dist.destroy_process_group()
    except BaseException:
        (Path(folder) / f"fault-{rank}.txt").write_text(traceback.format_exc())
        raise


def _gloo(store: dist.Store, rank: int, size: int, timeout: timedelta) -> dist.ProcessGroup:
    return dist.ProcessGroupGloo(store, rank, size, timeout)
