"""Failures of a store as one sentence: what, where, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from memvit.os_errors import REASONS
from memvit.types import MemvitError


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
