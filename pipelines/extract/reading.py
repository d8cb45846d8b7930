"""Decoding of the segments at hand, in threads of this process.

Nothing here needs torch: a decode actor is a small process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

from memvit.streams.group import ReaderGroup, StreamEnded, StreamFailed, StreamReader
from memvit.video.clips.ranges import NumberedClip, RangeReader
from memvit.video.clips.sampler import ClipSampler
from memvit.video.limits import DEFAULT_LIMITS, VideoLimits
from memvit.video.sources.location import source_name
from memvit.video.sources.open import open_source
from memvit.video.sources.source import Source

from .apart import ProcessDied, in_own_process
from .tasks import ClipRange, ExtractOptions

OWN_PROCESS = "own process"
"""Given as a decoder, it has threads decode a segment in a process of its own, because it may be what killed others."""
NEXT_SECONDS = 1.0
"""A decode actor says that nothing has come after so long."""


@dataclass(frozen=True, eq=False)
class ClipRead:
    """A clip of a segment."""

    stream_id: str
    """The segment's key, as in every event of a reader."""
    found: NumberedClip


@dataclass(frozen=True)
class ReaderLost:
    """Whoever decoded it died."""

    stream_id: str
    reason: str


ReadEvent: TypeAlias = ClipRead | StreamEnded | StreamFailed | ReaderLost


@dataclass(frozen=True)
class ReadSettings:
    """How every video is read."""

    sampler: dict[str, Any]
    """Arguments of `ClipSampler`, but for the stream's name."""
    queue_clips: int
    frames_per_second: float
    start_seconds: float
    decoder_threads: int = 1
    """Of each video; several are read at once."""
    limits: VideoLimits = DEFAULT_LIMITS

    def events(self, key: str, location: str, clip_range: ClipRange) -> Iterator[ReadEvent]:
        """All that happens while a stretch of a video is read. SourceError if it cannot be."""
        reader = RangeReader(
            partial(self._open, location), partial(self._sampler, location), clip_range.first, clip_range.stop
        )
        for found in reader.clips():
            yield ClipRead(key, found)
        yield StreamEnded(key, reader.counts)

    def events_isolated(self, key: str, location: str, clip_range: ClipRange) -> Iterator[ReadEvent]:
        """The same, read in another process; if that dies, the last event says so."""
        try:
            yield from in_own_process(partial(self.events, key, location, clip_range))
        except ProcessDied as error:
            yield ReaderLost(key, f"its decoder died: {error}")

    def _open(self, location: str, from_seconds: float) -> Source:
        return open_source(
            location,
            from_seconds=from_seconds,
            frames_per_second=self.frames_per_second,
            start_seconds=self.start_seconds,
            decoder_threads=self.decoder_threads,
            limits=self.limits,
        )

    def _sampler(self, location: str) -> ClipSampler:
        return ClipSampler(source_name(location), limits=self.limits, **self.sampler)


@dataclass(frozen=True)
class ProbedVideo:
    """What opening a video tells of it."""

    duration_seconds: float | None
    start_seconds: float
    is_live: bool


def probe(location: str, options: ExtractOptions) -> Iterator[ProbedVideo]:
    """Open a video and decode its first frame; gives one item, as whoever runs it in another process wants it."""
    with open_source(
        location,
        frames_per_second=options.frames_per_second,
        start_seconds=options.start_seconds,
        limits=options.limits,
    ) as source:
        info = source.info
        yield ProbedVideo(info.duration_seconds, next(source).pts_seconds, info.is_live)


class Reading(Protocol):
    """Decodes several segments at once, each a few clips ahead."""

    def begin(self, key: str, location: str, clip_range: ClipRange, decoder: object) -> None:
        """Start on a segment, or start it anew from another place."""

    def ready(self, timeout_seconds: float) -> list[ReadEvent]:
        """At most one event of each segment, as soon as any is there; empty after the time-out."""

    def end(self, key: str) -> None:
        """Stop reading a segment."""

    def close(self) -> None:
        """Stop reading at all."""


class ThreadReading:
    """A thread a segment."""

    def __init__(self, settings: ReadSettings) -> None:
        self._settings = settings
        self._group: ReaderGroup[ReadEvent] = ReaderGroup()

    def begin(self, key: str, location: str, clip_range: ClipRange, decoder: object = None) -> None:
        """See `Reading`."""
        self.end(key)
        events = self._settings.events_isolated if decoder == OWN_PROCESS else self._settings.events
        read = partial(events, key, location, clip_range)
        self._group.add(StreamReader(key, read, queue_clips=self._settings.queue_clips))

    def ready(self, timeout_seconds: float) -> list[ReadEvent]:
        """See `Reading`."""
        return self._group.ready(timeout_seconds)

    def end(self, key: str) -> None:
        """See `Reading`."""
        self._group.remove(key)

    def close(self) -> None:
        """See `Reading`."""
        self._group.close()


class Decoder:
    """Reads one segment at a time, ahead of whoever asks for its clips; an actor merely wraps it."""

    def __init__(self, settings: ReadSettings) -> None:
        self._reading = ThreadReading(settings)
        self._key = ""

    def begin(self, key: str, location: str, clip_range: ClipRange) -> None:
        """Start on a segment; one at hand is given up."""
        self._reading.end(self._key)
        self._key = key
        self._reading.begin(key, location, clip_range)

    def next(self) -> list[ReadEvent]:
        """The next event; empty if none came in time."""
        return self._reading.ready(NEXT_SECONDS)

    def end(self) -> None:
        """Give the segment at hand up."""
        self._reading.end(self._key)
