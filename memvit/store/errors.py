"""Failures of a store as one sentence: what, where, what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from memvit.types import MemvitError

REASONS = {
    errno.ENOSPC: "the disk is full; make room and run the same command again",
    errno.EDQUOT: "the disk quota is used up; make room and run the same command again",
    errno.EFBIG: "the largest allowed file size is reached; raise it and run the same command again",
    errno.EROFS: "the disk is read-only; name a place that can be written",
    errno.EACCES: "permission denied; name a place that can be written",
    errno.EPERM: "permission denied; name a place that can be written",
}


class StoreError(MemvitError):
    """The store cannot be read or written; what was committed stands."""


@contextmanager
def store_errors(where: Any) -> Iterator[None]:
    """Turn what a file system or object store raises into a StoreError."""
    try:
        yield
    except OSError as error:
        reason = REASONS.get(error.errno or 0, f"reading or writing failed ({error}); run the same command again")
        raise StoreError(f"{where}: {reason}; what is finished is safe") from error
