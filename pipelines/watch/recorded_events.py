"""Records the events of all sources that are watched."""

from __future__ import annotations

from collections.abc import Callable

from memvit.events.event import Event
from memvit.events.rules import Rules
from memvit.streams.watcher import StreamEvent
from memvit.video.limits import VideoLimits
from pipelines.record.options import RecordOptions
from pipelines.record.recorder import News, Recorder, finish_leftovers
from pipelines.record.recording import Recording
from pipelines.record.store import RecordingStore


class RecordedEvents:
    """Pass it all that happens to the streams, and let it see the events that are told."""

    def __init__(self, options: RecordOptions, rules: Rules, hop_seconds: float, limits: VideoLimits) -> None:
        """MemvitError if the folder cannot be used."""
        self.folder = options.folder
        self._store = RecordingStore(options.folder, options.days, options.gigabytes)
        self.recorder = Recorder(
            options, self._note, rules=rules, hop_seconds=hop_seconds, limits=limits, replaces=True
        )
        self._told: list[Event] = []
        self._recorded: set[str] = set()
        self.failure: str | None = None
        """Why events were not recorded, if some were not."""
        finish_leftovers(options, (), self._note, limits)
        self._recorded.clear()
        self.recorder.start()

    @property
    def count(self) -> int:
        """How many events were recorded."""
        return len(self._recorded)

    def telling(self, on_told: Callable[[Event], None]) -> Callable[[Event], None]:
        """A function that sees every event, and calls `on_told`."""

        def tell(event: Event) -> None:
            self._told.append(event)
            on_told(event)

        return tell

    def add(self, event: StreamEvent) -> None:
        """Something has happened to a stream, and the events that follow from it were told."""
        told, self._told = self._told, []
        self.recorder.tell([event, *told])

    def close(self) -> None:
        """Finish all recordings."""
        self.recorder.tell(self._told)
        self.recorder.close()
        self._store.close()

    def _note(self, news: News) -> None:
        if isinstance(news, Recording):
            self._store.add(news)
            self._recorded.add(news.event_id)
        elif news.reason is not None:
            self.failure = news.reason
