"""Errors of SQLite as errors of the operating system, which callers turn into a sentence."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def as_os_error() -> Iterator[None]:
    """Raise OSError where a database on a full or failing disk raises errors of its own."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(str(error)) from error
