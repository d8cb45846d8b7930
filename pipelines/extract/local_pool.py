"""Extraction in one process, without Ray."""

from __future__ import annotations

import time

from memvit.boxes import BoxSource
from memvit.engine.engine import Engine
from memvit.store import Archive

from .extractor import Extractor, read_settings
from .reading import OWN_PROCESS, ThreadReading
from .tasks import ExtractOptions, ExtractTask, TaskEvent, Timings

IDLE_SECONDS = 0.02
"""How long the pool waits for the driver if it has no segment to work on."""


class LocalPool:
    """A pool of one worker that runs in this process; videos are decoded in threads."""

    def __init__(self, archive: Archive, engine: Engine, boxes: BoxSource | None, options: ExtractOptions) -> None:
        reading = ThreadReading(read_settings(engine.preprocessing, boxes, options))
        self.extractor = Extractor(engine, boxes, archive, reading, options)
        self._slots = options.slots

    def free(self) -> int:
        """Return how many more segments can be started now."""
        return self._slots - self.extractor.running

    def begin(self, task: ExtractTask) -> None:
        """Start a segment."""
        self.extractor.begin(task, OWN_PROCESS if task.isolated else None)

    def drop(self, key: str) -> None:
        """Stop a segment and discard its uncommitted results."""
        self.extractor.drop(key)

    def events(self, seconds: float) -> list[TaskEvent]:
        """Work for about so long, and return what happened."""
        if not self.extractor.running:
            time.sleep(IDLE_SECONDS)  # Other threads open or finalize videos meanwhile.
        return self.extractor.advance(seconds)

    def timings(self) -> Timings:
        """Return how the worker spent its time so far."""
        return self.extractor.timings

    def close(self) -> None:
        """Commit the results that are there, and stop reading."""
        self.extractor.close()
