"""What becomes of the events of the rules: they are counted, and kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from memvit.events.event import Event

from .event_history import EventHistory
from .event_options import EventOptions
from .metrics import Metrics

log = logging.getLogger("memvit.serve")


class ToldEvents:
    """Gets events from the threads of the workers, before the state that follows them is saved: an event that was told
    is kept, or is told again after a restart.
    """

    def __init__(self, options: EventOptions, metrics: Metrics) -> None:
        """MemvitError if the folder of the history cannot be used."""
        self.history = EventHistory(options.history, options.history_days)
        self._metrics = metrics
        self._has_failed = False

    def add(self, events: Sequence[Event]) -> None:
        """Keep and count events. A disk that takes no more stops nothing else."""
        if not events:
            return
        self._metrics.told(events)
        try:
            self.history.add(events)
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                log.warning("events cannot be kept in the history (%s); streams and alerts go on", error)
            self._has_failed = True

    def close(self) -> None:
        """Close the files."""
        self.history.close()
