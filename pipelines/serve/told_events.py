"""What becomes of the events of the rules: they are counted, sent to sinks, and kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from memvit.events.event import Event

from .event_history import EventHistory
from .event_options import EventOptions
from .metrics import Metrics
from .sinks.deliveries import Deliveries

log = logging.getLogger("memvit.serve")


class ToldEvents:
    """Gets events from the threads of the workers, before the state that follows them is saved: an event that was told
    is kept, or is told again after a restart.
    """

    def __init__(self, options: EventOptions, metrics: Metrics) -> None:
        """MemvitError if the history or the outbox cannot be used."""
        self.history = EventHistory(options.history, options.history_days)
        self.deliveries: Deliveries | None = None
        self._metrics = metrics
        if options.sinks:
            self._open_deliveries(options)
        self._has_failed = False

    def _open_deliveries(self, options: EventOptions) -> Deliveries:
        assert options.outbox is not None
        self.deliveries = Deliveries(options.outbox, options.sinks, self._metrics.delivered)
        self._metrics.watch_outbox(self.deliveries.outbox.counts)
        return self.deliveries

    def change(self, options: EventOptions) -> None:
        """Other sinks; those that stay are not disturbed. MemvitError if the outbox cannot be used."""
        if self.deliveries is not None:
            self.deliveries.change(options.sinks)
        elif options.sinks:
            self._open_deliveries(options).start()

    def start(self) -> None:
        """Start to send what waits."""
        if self.deliveries is not None:
            self.deliveries.start()

    def add(self, events: Sequence[Event]) -> None:
        """Keep and count events. A disk that takes no more stops nothing else."""
        if not events:
            return
        self._metrics.told(events)
        if self.deliveries is not None:
            self.deliveries.add(events)
        try:
            self.history.add(events)
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                log.warning("events cannot be kept in the history (%s); streams and alerts go on", error)
            self._has_failed = True

    def close(self) -> None:
        """Stop to send, and close the files."""
        if self.deliveries is not None:
            self.deliveries.close()
        self.history.close()
