"""What the outbox asks of a sink."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from memvit.events.event import Event, EventState


class SinkDown(Exception):
    """The receiver cannot be reached, or does not answer: nothing can be sent to it now. The message has no secrets."""


class MessageFailed(Exception):
    """The receiver answers, and does not take this message now; it may take it later."""


class MessageRefused(Exception):
    """The receiver will never take this message."""


@dataclass(frozen=True)
class Message:
    """An event on its way to a sink."""

    number: int
    """Messages of a sink are numbered in the order in which they came."""
    stream_id: str
    rule: str
    key: str
    """The event's id and number: the same whenever it is sent again."""
    body: str
    """JSON, as in docs/events.md."""
    attempts: int = 0


class Sender(Protocol):
    """Sends messages to one receiver; only one thread uses it."""

    def send(self, message: Message) -> None:
        """Return once the receiver has confirmed the message; otherwise SinkDown, MessageFailed or MessageRefused."""

    def close(self) -> None:
        """Close connections; `send` may open them again."""


@dataclass(frozen=True)
class SinkFilter:
    """Which events a sink gets."""

    rules: tuple[str, ...] = ()
    """Shell patterns of names of rules; empty for all."""
    streams: tuple[str, ...] = ()
    """Shell patterns of names of streams; empty for all."""
    states: tuple[EventState, ...] = ("new", "end")

    def wants(self, event: Event) -> bool:
        """Whether the sink gets an event."""
        return (
            event.state in self.states
            and (not self.rules or any(fnmatchcase(event.rule, pattern) for pattern in self.rules))
            and (not self.streams or any(fnmatchcase(event.stream_id, pattern) for pattern in self.streams))
        )


def key_of(event: Event) -> str:
    """The idempotency key of an event as it is told now."""
    return f"{event.id}-{event.number}"
