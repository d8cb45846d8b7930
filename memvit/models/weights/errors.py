"""The error of checkpoint files."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A file is not a checkpoint of this model; the message names the file, what was found and what was expected."""
