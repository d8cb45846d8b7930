"""All sinks of a server, and the outbox that they share."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memvit.events.event import Event
from memvit.types import MemvitError

from .delivery import Delivery
from .lines import LinesFile
from .outbox import Outbox
from .sink import Sender
from .webhook import Webhook

if TYPE_CHECKING:
    from pipelines.serve.server_config import SinkConfig

log = logging.getLogger("memvit.serve")
MAX_UNKEPT = 10_000
"""Events that are held in memory while the outbox's disk takes no more."""
WEBHOOK_LANES = 4
"""Requests to a web-hook at once, of different streams: one that is not answered delays one stream."""


class Deliveries:
    """Events go to the outbox, and from there to each sink in threads of its own."""

    def __init__(
        self,
        path: Path,
        sinks: Sequence[SinkConfig],
        on_outcome: Callable[[str, str], None],
        body_of: Callable[[Event], str] = Event.to_json,
    ) -> None:
        """`body_of` an event is what is sent. MemvitError if the outbox cannot be used, or a package is missing."""
        self.outbox = Outbox(path, body_of)
        self._on_outcome = on_outcome
        self._unkept: deque[Event] = deque(maxlen=MAX_UNKEPT)
        self._filters = {sink.name: sink.wanted for sink in sinks}
        self._deliveries = {sink: self._delivery(sink) for sink in sinks}

    def _delivery(self, sink: SinkConfig) -> Delivery:
        senders = [sender_of(sink) for _ in range(WEBHOOK_LANES if sink.kind == "webhook" else 1)]
        return Delivery(sink.name, self.outbox, senders, sink.retry, self._on_outcome)

    def start(self) -> None:
        """Start to send."""
        for delivery in self._deliveries.values():
            delivery.start()

    def change(self, sinks: Sequence[SinkConfig]) -> None:
        """Other sinks, once sending has begun. What waits for a sink that is gone stays in the outbox, and is sent if
        there is one of its name again. MemvitError if a package is missing; nothing is changed then.
        """
        added = {sink: self._delivery(sink) for sink in sinks if sink not in self._deliveries}
        for sink in self._deliveries.keys() - set(sinks):
            self._deliveries.pop(sink).stop()
        self._filters = {sink.name: sink.wanted for sink in sinks}
        for delivery in added.values():
            delivery.start()
        self._deliveries |= added

    def add(self, events: Sequence[Event]) -> None:
        """Keep events until they are sent. Where the disk takes no more, they are held in memory and tried again with
        the next.
        """
        waiting = [*self._unkept, *events]
        try:
            self.outbox.add(waiting, self._filters)
        except OSError as error:
            if not self._unkept:
                log.warning("events cannot be put into the outbox (%s); they are held in memory", error)
            self._unkept.extend(events)
        else:
            self._unkept.clear()

    def close(self) -> None:
        """Stop to send; what was not confirmed stays in the outbox."""
        for delivery in self._deliveries.values():
            delivery.stop()
        self.outbox.close()


def sender_of(sink: SinkConfig) -> Sender:
    """What sends to a sink. MemvitError if MQTT's package is missing."""
    if sink.kind == "webhook":
        return Webhook(sink.target, sink.secret, sink.timeout_seconds)
    if sink.kind == "file":
        return LinesFile(Path(sink.target))
    try:
        from .mqtt import MqttOptions, MqttSender
    except ImportError as error:
        raise MemvitError(f"sink {sink.name}: MQTT needs {error.name}: pip install 'memvit[mqtt]'") from error
    host, _, port = sink.target.partition(":")
    return MqttSender(
        MqttOptions(
            host,
            int(port) if port else 8883 if sink.tls else 1883,
            sink.topic,
            sink.tls,
            sink.ca_file,
            sink.username,
            sink.secret,
            sink.timeout_seconds,
        )
    )
