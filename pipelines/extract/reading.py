"""Decoding of the open segments, in threads of this process.

Nothing here imports torch, so that a decode actor is a small process.
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
"""As the `decoder` of a segment: decode it in a process of its own, because it may have killed another process."""
NEXT_SECONDS = 1.0
"""A decode actor waits so long for an event before it answers that there is none."""


@dataclass(frozen=True, eq=False)
class ClipRead:
    """A decoded clip of a segment."""

    stream_id: str
    """Key of the segment, as in every event of a reader."""
    numbered: NumberedClip
    """The clip with its number and the CRC-32 of its frames."""


@dataclass(frozen=True)
class ReaderLost:
    """The process that decoded a segment died."""

    stream_id: str
    reason: str
    """How it died."""


ReadEvent: TypeAlias = ClipRead | StreamEnded | StreamFailed | ReaderLost


@dataclass(frozen=True)
class ReadSettings:
    """How every video is read."""

    sampler: dict[str, Any]
    """Arguments of `ClipSampler` without the name of the stream."""
    queue_clips: int
    """Number of clips of a segment that are decoded ahead."""
    frames_per_second: float
    """Frame rate of a video that is a folder of frames."""
    start_seconds: float
    """Time of the first frame of a folder of frames."""
    decoder_threads: int = 1
    """Threads of FFmpeg for one video; one is enough, because several videos are decoded in parallel."""
    limits: VideoLimits = DEFAULT_LIMITS
    """Sizes above which a video is refused."""

    def events(self, key: str, location: str, clip_range: ClipRange) -> Iterator[ReadEvent]:
        """Read a range of a video: every clip, then the end. Raises SourceError if the video cannot be read."""
        reader = RangeReader(
            partial(self._open, location), partial(self._sampler, location), clip_range.first, clip_range.stop
        )
        for numbered in reader.clips():
            yield ClipRead(key, numbered)
        yield StreamEnded(key, reader.counts)

    def events_isolated(self, key: str, location: str, clip_range: ClipRange) -> Iterator[ReadEvent]:
        """The same events, but decoded in a process of its own; if it dies, the last event is `ReaderLost`."""
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
    """What is known of a video once it was opened and its first frame was decoded."""

    duration_seconds: float | None
    """None if the file does not say."""
    start_seconds: float
    """Presentation time of the first frame."""
    is_live: bool
    """Whether it has no end, like a camera."""


def probe(location: str, options: ExtractOptions) -> Iterator[ProbedVideo]:
    """Open a video, decode its first frame and yield what was found: one item, as `in_own_process` needs an iterator.

    Raises SourceError if the video cannot be read.
    """
    with open_source(
        location,
        frames_per_second=options.frames_per_second,
        start_seconds=options.start_seconds,
        limits=options.limits,
    ) as source:
        info = source.info
        yield ProbedVideo(info.duration_seconds, next(source).pts_seconds, info.is_live)


class Reading(Protocol):
    """Decodes several segments in parallel, each a few clips ahead."""

    def begin(self, key: str, location: str, clip_range: ClipRange, decoder: object) -> None:
        """Start to read a segment; if it is being read already, start again with another range."""

    def ready(self, timeout_seconds: float) -> list[ReadEvent]:
        """Wait for the first event, and return at most one event of each segment; empty after the time-out."""

    def end(self, key: str) -> None:
        """Stop reading a segment."""

    def close(self) -> None:
        """Stop reading all segments."""


class ThreadReading:
    """Decodes each segment in a thread of its own."""

    def __init__(self, settings: ReadSettings) -> None:
        self._settings = settings
        self._group: ReaderGroup[ReadEvent] = ReaderGroup()

    def begin(self, key: str, location: str, clip_range: ClipRange, decoder: object = None) -> None:
        """Start to read a segment, in a process of its own if `decoder` is OWN_PROCESS."""
        self.end(key)
        events = self._settings.events_isolated if decoder == OWN_PROCESS else self._settings.events
        read = partial(events, key, location, clip_range)
        self._group.add(StreamReader(key, read, queue_clips=self._settings.queue_clips))

    def ready(self, timeout_seconds: float) -> list[ReadEvent]:
        """Wait for the first event, and return at most one event of each segment; empty after the time-out."""
        return self._group.ready(timeout_seconds)

    def end(self, key: str) -> None:
        """Stop reading a segment."""
        self._group.remove(key)

    def close(self) -> None:
        """Stop reading all segments."""
        self._group.close()


class Decoder:
    """Reads one segment at a time, a few clips ahead; a Ray actor wraps this plain class."""

    def __init__(self, settings: ReadSettings) -> None:
        self._reading = ThreadReading(settings)
        self._key = ""

    def begin(self, key: str, location: str, clip_range: ClipRange) -> None:
        """Start to read a segment, and stop reading the one before."""
        self._reading.end(self._key)
        self._key = key
        self._reading.begin(key, location, clip_range)

    def next(self) -> list[ReadEvent]:
        """Return the next event; empty if there is none within NEXT_SECONDS."""
        return self._reading.ready(NEXT_SECONDS)

    def end(self) -> None:
        """Stop reading the present segment."""
        self._reading.end(self._key)
