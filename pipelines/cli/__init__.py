"""The command line: `memvit` and its commands."""

from .app import main

__all__ = ["main"]
