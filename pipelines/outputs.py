"""Checks that results can be written to a place, before any work is done."""

from __future__ import annotations

import os
from pathlib import Path

from memvit.types import MemvitError


def check_folder(folder: Path, option: str = "--out") -> None:
    """MemvitError if results cannot be written into this folder. It need not exist yet, and is not created here."""
    if folder.exists() and not folder.is_dir():
        raise MemvitError(f"{folder}: results go into a folder, and this is a file; name another folder with {option}")
    known = _nearest_existing(folder)
    if not known.is_dir():
        raise MemvitError(f"{folder}: {known} is a file, not a folder; name another folder with {option}")
    if not os.access(known, os.W_OK | os.X_OK):
        raise MemvitError(f"{folder}: permission denied; name another folder with {option}")


def check_file(file: Path, option: str = "--out") -> None:
    """MemvitError if no file can be written under this name. Its folder must exist."""
    if file.is_dir():
        raise MemvitError(f"{file}: this is a folder; name a file with {option}")
    if not file.parent.is_dir():
        raise MemvitError(f"{file}: there is no folder {file.parent}; make it, or name another file with {option}")
    check_folder(file.parent, option)


def _nearest_existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
