"""What the server does with events."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from memvit.events.rules import Rules
from memvit.events.rules_file import load_rules
from memvit.types import MemvitError
from pipelines.record.options import RecordOptions

from .server_config import ServerConfig, SinkConfig


@dataclass(frozen=True)
class EventOptions:
    """Rules, and where their events go."""

    rules: Rules | None = None
    history: Path | None = None
    """Folder in which events and results are kept; None keeps the last events in memory."""
    history_days: float = 30.0
    """Events that are older are deleted."""
    sinks: tuple[SinkConfig, ...] = ()
    outbox: Path | None = None
    """File in which events wait for the sinks; there must be one if there are sinks."""
    record: RecordOptions | None = None
    """How events are recorded; None records nothing."""


NO_EVENTS = EventOptions()


def event_options(
    config: ServerConfig,
    rules: Path | None,
    history: Path | None,
    history_days: float | None,
    state: Path | None,
    record: RecordOptions | None = None,
) -> EventOptions:
    """What the configuration says, and what the command line says instead. MemvitError if they do not fit together."""
    if rules is not None and config.rules is not None:
        raise MemvitError(f"{rules}: there are rules or zones in the configuration, too; keep them in one of the two")
    history = history or config.history
    folder = history or state
    if config.sinks and folder is None:
        raise MemvitError("sinks need --history or --state, a folder in which events wait until they are sent")
    days = history_days if history_days is not None else config.history_days
    return EventOptions(
        load_rules(rules) if rules is not None else config.rules,
        history,
        30.0 if days is None else days,
        config.sinks,
        folder / "outbox.sqlite" if folder is not None else None,
        record or config.record,
    )
