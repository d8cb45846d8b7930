"""What the driver of an extraction asks of its workers, whether they are threads or Ray actors."""

from __future__ import annotations

from typing import Protocol

from .tasks import ExtractTask, TaskEvent, Timings


class Pool(Protocol):
    """Workers of an extraction: threads of this process or Ray actors."""

    def free(self) -> int:
        """Return how many more segments can be started now."""

    def begin(self, task: ExtractTask) -> None:
        """Start a segment."""

    def drop(self, key: str) -> None:
        """Stop a segment and discard its uncommitted results; does nothing if it is not running."""

    def events(self, seconds: float) -> list[TaskEvent]:
        """Wait at most about so long, and return what happened."""

    def timings(self) -> Timings:
        """Return how all workers together spent their time so far."""

    def close(self) -> None:
        """Commit the results that are there, and end the workers."""
