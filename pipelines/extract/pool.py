"""What the driver of an extraction asks of its workers, whether they are threads or Ray actors."""

from __future__ import annotations

from typing import Protocol

from .tasks import ExtractTask, TaskEvent, Timings


class Pool(Protocol):
    """Workers, wherever they run."""

    def free(self) -> int:
        """How many more segments can be taken up now."""

    def begin(self, task: ExtractTask) -> None:
        """Have a segment worked on."""

    def drop(self, key: str) -> None:
        """Stop work on a segment; nothing happens if there is none."""

    def events(self, seconds: float) -> list[TaskEvent]:
        """What happened, after about so long at most."""

    def timings(self) -> Timings:
        """Where the workers' time went so far."""

    def close(self) -> None:
        """Let the workers go."""
