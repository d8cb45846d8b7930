"""Errors of an archive as one sentence that says what happened, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from memvit.os_errors import REASONS
from memvit.types import MemvitError


class StoreError(MemvitError):
    """The archive cannot be read or written; what was committed stays."""


@contextmanager
def store_errors(where: Any) -> Iterator[None]:
    """Turn an OSError of a file system or object store into a StoreError that names the place."""
    try:
        yield
    except OSError as error:
        reason = REASONS.get(error.errno or 0, f"reading or writing failed ({error}); run the same command again")
        raise StoreError(f"{where}: {reason}; what is finished is safe") from error
