"""Takes over a changed configuration without a restart."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from memvit.events.rules_file import check_actions
from memvit.types import MemvitError

from .errors import UnknownStream
from .event_options import EventOptions
from .server_config import ServerConfig, StreamConfig
from .service import Service


class Reloader:
    """What was taken over of the configuration so far, and what another reading changes. Call it to read again."""

    def __init__(
        self,
        service: Service,
        begun_with: ServerConfig,
        read: Callable[[], tuple[ServerConfig, EventOptions]],
    ) -> None:
        self._service, self._read = service, read
        self._streams, self._heads = begun_with.streams, begun_with.heads
        self._archive = begun_with.archive, begun_with.archive_labels
        self._lock = threading.Lock()

    def __call__(self) -> str:
        """Read the configuration again and take over its rules, sinks and streams; return what has changed as text."""
        with self._lock:
            config, options = self._read()
            if options.rules is not None:
                check_actions(options.rules, self._service.labels)
            before = self._service.options.events
            places = [(one.history, one.history_days, one.outbox) for one in (before, options)]
            if places[0] != places[1]:
                raise MemvitError("the folder and days of the history change with a restart only")
            self._check_heads(config.heads)
            if (config.archive, config.archive_labels) != self._archive:
                raise MemvitError("the archive and its labels change with a restart only")
            if len({one.record and one.record.folder for one in (before, options)}) > 1:
                raise MemvitError("whether events are recorded, and in which folder, changes with a restart only")
            self._service.change_events(options)
            added, removed = self._change_streams(config.streams)
        rules = len(options.rules.rules) if options.rules is not None else 0
        return f"{rules} rules, {len(options.sinks)} sinks; {added} streams were added and {removed} removed"

    def _check_heads(self, configured: tuple[Path, ...]) -> None:
        """The heads of the configuration come first, then those of the command line, which stay."""
        served = self._service.options.heads
        if served is not None:
            served.check((*configured, *served.paths[len(self._heads) :]))
        elif configured != self._heads:
            raise MemvitError("heads change with a restart only")

    def _change_streams(self, streams: tuple[StreamConfig, ...]) -> tuple[int, int]:
        """Streams of the configuration alone come and go; those that clients have added stay."""
        added = [stream for stream in streams if stream not in self._streams]
        removed = [stream for stream in self._streams if stream not in streams]
        for stream in removed:
            for stream_id in self._service.ids_of(stream.source, stream.id):
                try:
                    self._service.remove(stream_id)
                except UnknownStream:  # a client has removed it meanwhile
                    continue
        for stream in added:
            self._service.add_configured(stream)
        self._streams = streams
        return len(added), len(removed)
