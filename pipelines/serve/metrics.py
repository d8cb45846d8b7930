"""Metrics for Prometheus, computed from the streams' statuses when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from memvit.events.event import Event
from memvit.results.result import Latency
from memvit.streams.events import ReaderStatus
from pipelines.record.recording import Recording
from pipelines.record.store import RecordingStore

BUCKETS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
_STATS = {
    "connections": "Connections that were made",
    "lost": "Connections that broke, and attempts that failed",
    "stalls": "Times that a open connection sent nothing for a while",
    "sessions": "Sessions that began, each with empty memory",
    "frames": "Frames that came",
    "clips": "Clips that were answered",
    "late_clips": "Clips left out because the model did not keep up",
    "thinned_track_frames": "Frames in which nobody was looked for because the model did not keep up",
    "missed_clips": "Clips left out, late or in gaps",
    "frozen_clips": "Clips whose picture did not move",
    "black_clips": "Clips whose picture was black",
    "clock_jumps": "Frame times that jumped ahead and were corrected",
    "size_changes": "Changes of the picture's shape",
    "abandoned_readers": "Connections that hung and were abandoned",
    "corrupt_packets": "Damaged packets",
}


class Metrics:
    """A registry of its own, so that several servers can live in one process."""

    def __init__(self, statuses: Callable[[], dict[str, ReaderStatus]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Streams(statuses))
        self._latency = Histogram(
            "memvit_latency_seconds",
            "Seconds from the arrival of a clip's last frame to its result, in total and by part",
            ["part"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._events = Counter(
            "memvit_events", "Events of the rules that began", ["stream", "rule"], registry=self._registry
        )
        self._deliveries = Counter(
            "memvit_deliveries",
            "Attempts to send an event to a sink: sent, failed or refused",
            ["sink", "outcome"],
            registry=self._registry,
        )
        self._recordings = Counter(
            "memvit_recordings", "Recordings of events that were made", ["kind"], registry=self._registry
        )
        self._batch = Histogram(
            "memvit_batch_clips", "Clips answered at once", buckets=(1, 2, 4, 8, 16, 32, 64), registry=self._registry
        )

    def answered(self, latencies: list[Latency]) -> None:
        """Count a batch that was answered, by the latencies of its clips."""
        self._batch.observe(len(latencies))
        for latency in latencies:
            self._latency.labels("all").observe(latency.seconds)
            for part in ("decode", "queue", "boxes", "model"):
                self._latency.labels(part).observe(getattr(latency, f"{part}_seconds"))

    def told(self, events: Sequence[Event]) -> None:
        """Count events of the rules that have begun."""
        for event in events:
            if event.state == "new":
                self._events.labels(event.stream_id, event.rule).inc()

    def delivered(self, sink: str, outcome: str) -> None:
        """Count an attempt to send an event."""
        self._deliveries.labels(sink, outcome).inc()

    def recorded(self, recording: Recording) -> None:
        """Count a recording that is ready."""
        self._recordings.labels("video").inc(recording.video_bytes > 0)
        self._recordings.labels("picture").inc(recording.picture_bytes > 0)

    def watch_recordings(self, store: RecordingStore) -> None:
        """Show what the folder of recordings holds, and whether anything can be recorded."""
        self._registry.register(_Recordings(store))

    def watch_outbox(self, counts: Callable[[], dict[tuple[str, str], int]]) -> None:
        """Show how many messages wait, and how many are dead letters."""
        self._registry.register(_Outbox(counts))

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _Streams(Collector):
    def __init__(self, statuses: Callable[[], dict[str, ReaderStatus]]) -> None:
        self._statuses = statuses

    def collect(self) -> Iterator[Metric]:
        """One family for each count of `StreamStats`, with one sample for each stream."""
        statuses = self._statuses()
        yield GaugeMetricFamily("memvit_streams", "Streams that are watched", value=len(statuses))
        up = GaugeMetricFamily("memvit_stream_up", "Whether frames come", labels=["stream"])
        families = {
            name: CounterMetricFamily(f"memvit_{name}", help_text, labels=["stream"])
            for name, help_text in _STATS.items()
        }
        for stream_id, status in statuses.items():
            up.add_metric([stream_id], float(status.state == "live"))
            stats = asdict(status.stats)
            for name, family in families.items():
                family.add_metric([stream_id], stats[name])
        yield up
        yield from families.values()


class _Outbox(Collector):
    def __init__(self, counts: Callable[[], dict[tuple[str, str], int]]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """Messages in the outbox by sink and state."""
        family = GaugeMetricFamily(
            "memvit_outbox_messages", "Messages that wait to be sent, and dead letters", labels=["sink", "state"]
        )
        try:
            for labels, count in self._counts().items():
                family.add_metric(labels, count)
        except OSError:  # the disk fails: the other metrics tell
            return
        yield family


class _Recordings(Collector):
    def __init__(self, store: RecordingStore) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """What is kept, and whether anything can be recorded."""
        is_recording = float(self._store.stopped_reason is None)
        yield GaugeMetricFamily("memvit_recording_up", "Whether events can be recorded", value=is_recording)
        try:
            count, size = self._store.usage()
        except OSError:  # the disk fails: the other metrics tell
            return
        yield GaugeMetricFamily("memvit_recordings_kept", "Events with a recording", value=count)
        yield GaugeMetricFamily("memvit_recordings_bytes", "Room that recordings take", value=size)
