"""Checks a local path before FFmpeg opens it: opening a pipe, or a file on a network disk that hangs, never ends."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

from memvit.types import SourceError

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a disk",
}


def is_folder(path: Path, timeout_seconds: float) -> bool:
    """Whether the path is a folder and not a file.

    SourceError if it is neither, or if the disk does not answer before the time-out. A path that cannot be read counts
    as a file, because opening it later tells why.
    """
    modes: list[int] = []
    # A daemon thread, because one that waits for a dead network disk must not keep the process from ending.
    thread = threading.Thread(target=_read_mode, args=(path, modes), name=f"check {path.name}", daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    if thread.is_alive():
        reason = f"the disk did not answer within {timeout_seconds:g} s; check that it is connected"
        raise SourceError(f"{path}: {reason}", "timeout")
    kind = stat.S_IFMT(modes[0]) if modes else stat.S_IFREG
    if kind in _KINDS:
        raise SourceError(f"{path}: this is {_KINDS[kind]} and not a file; name a file, a folder or an address", "data")
    return kind == stat.S_IFDIR


def _read_mode(path: Path, modes: list[int]) -> None:
    """Add the mode of the path to `modes`, after reading a byte of a regular file. Add nothing if that fails."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                file.read(1)
    except OSError:
        return
    modes.append(mode)
