"""Keeps the usual scheduling of a process that encodes AV1."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def usual_scheduling() -> Iterator[None]:
    """Give the calling thread its scheduling policy back at the end.

    SVT-AV1's encoder, where it runs as root, makes the thread that opens it a real-time thread (SCHED_FIFO, 99), and it
    stays one. All that this thread starts later inherits it, and takes the processor from every other program.
    """
    if not hasattr(os, "sched_getscheduler"):  # only Linux has these calls
        yield
        return
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, param)
