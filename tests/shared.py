"""What takes long to make is made once for all processes of a test run."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

FOLDER = "MEMVIT_TEST_FOLDER"
"""The environment variable that tells the processes of a run where the shared folder is."""
PROCESS = "MEMVIT_TEST_PROCESS"
"""The environment variable that holds the number of the process that began the run and ends last."""


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """A file or folder of the shared folder; `make(path)` writes it in the first process that asks for it.

    Others wait until it is whole. Tests must not change it: a test that does works on a copy.
    """
    folder = Path(os.environ[FOLDER])
    path, unfinished = folder / name, folder / f"unfinished-{name}"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            if unfinished.is_dir():
                shutil.rmtree(unfinished)
            make(unfinished)
            unfinished.replace(path)
    return path
