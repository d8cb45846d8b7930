"""What becomes of results and of the events of the rules: they are counted, sent to sinks, and kept."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from memvit.events.event import Event
from memvit.labels import Labels
from memvit.results.result import Result
from memvit.video.limits import VideoLimits
from pipelines.record.recorder import News, finish_leftovers
from pipelines.record.recording import RecorderStatus, Recording
from pipelines.record.store import Kind, RecordingStore

from .event_history import EventHistory
from .event_options import EventOptions
from .handle import WorkerEvent
from .metrics import Metrics
from .requests import RecordingStatus
from .result_log import ResultLog
from .sinks.deliveries import Deliveries

log = logging.getLogger("memvit.serve")


class ToldEvents:
    """Gets events from the threads of the workers, before the state that follows them is saved: an event that was told
    is kept, or is told again after a restart.
    """

    def __init__(self, options: EventOptions, labels: Labels, metrics: Metrics) -> None:
        """MemvitError if the history or the outbox cannot be used."""
        self.history = EventHistory(options.history, options.history_days)
        self._results = ResultLog(options.history, labels, options.history_days) if options.history else None
        record = self._record = options.record
        self.recordings = RecordingStore(record.folder, record.days, record.gigabytes) if record is not None else None
        self.deliveries: Deliveries | None = None
        self._metrics = metrics
        if self.recordings is not None:
            metrics.watch_recordings(self.recordings)
        if options.sinks:
            self._open_deliveries(options)
        self._failing: set[str] = set()
        """What could not be kept the last time; the log says so once."""

    def _open_deliveries(self, options: EventOptions) -> Deliveries:
        assert options.outbox is not None
        body_of = body_with_links if self.recordings is not None else Event.to_json
        self.deliveries = Deliveries(options.outbox, options.sinks, self._metrics.delivered, body_of)
        self._metrics.watch_outbox(self.deliveries.outbox.counts)
        return self.deliveries

    def change(self, options: EventOptions) -> None:
        """Other sinks; those that stay are not disturbed. MemvitError if the outbox cannot be used."""
        if self.deliveries is not None:
            self.deliveries.change(options.sinks)
        elif options.sinks:
            self._open_deliveries(options).start()
        if self.recordings is not None and options.record is not None:
            self.recordings.change_limits(options.record.days, options.record.gigabytes)

    def finish_leftovers(self, known: Collection[str], limits: VideoLimits, on_news: Callable[[News], None]) -> None:
        """Finish, in a thread, recordings that an earlier run has left of streams that are not `known`."""
        if self._record is not None:
            finish = partial(finish_leftovers, self._record, known, on_news, limits)
            threading.Thread(target=finish, name="leftovers", daemon=True).start()

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
        self._keep("events", partial(self.history.add, events))

    def with_recordings(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Events as clients get them, each with its `recording`, which is None where there is none."""
        found = self.recordings.find([event["id"] for event in events]) if self.recordings is not None else {}
        return [
            event | {"recording": found[event["id"]].to_record() if event["id"] in found else None} for event in events
        ]

    def recording_file(self, event_id: str, kind: Kind) -> Path | None:
        """The file of an event's recording, if there is one."""
        return self.recordings.file(event_id, kind) if self.recordings is not None else None

    @property
    def recording_status(self) -> RecordingStatus | None:
        """Whether events are recorded at present; None where they are not to be."""
        if self.recordings is None:
            return None
        reason = self.recordings.stopped_reason
        return RecordingStatus(is_recording=reason is None, reason=reason)

    def add_recordings(self, events: Sequence[WorkerEvent]) -> None:
        """Keep what these events say of recordings: one is ready, or nothing can be recorded at present."""
        if self.recordings is None:
            return
        for event in events:
            if isinstance(event, RecorderStatus):
                self.recordings.stopped_reason = event.reason
            elif isinstance(event, Recording):
                self._keep("recordings", partial(self.recordings.add, event))
                self._metrics.recorded(event)

    def add_results(self, results: Sequence[Result]) -> None:
        """Count the results of a batch, and keep them where there is a folder. A disk that takes no more stops nothing
        else.
        """
        latencies = [result.latency for result in results if result.latency is not None]
        if latencies:
            self._metrics.answered(latencies)
        if self._results is not None:
            self._keep("results", partial(self._results.add, results))

    def _keep(self, what: str, write: Callable[[], None]) -> None:
        try:
            write()
            self._failing.discard(what)
        except OSError as error:
            if what not in self._failing:
                log.warning("%s cannot be kept in the history (%s); streams and alerts go on", what, error)
            self._failing.add(what)

    def close(self) -> None:
        """Stop to send, and close the files."""
        if self.deliveries is not None:
            self.deliveries.close()
        self.history.close()
        if self.recordings is not None:
            self.recordings.close()
        if self._results is not None:
            self._results.close()


def body_with_links(event: Event) -> str:
    """An event as sinks get it where events are recorded: with the paths of its recording on this server."""
    links = {kind: f"/api/history/{event.id}/{kind}" for kind in ("video", "picture")}
    return json.dumps(event.to_record() | links, ensure_ascii=False, allow_nan=False)
