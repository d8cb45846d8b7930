"""Makes clips of the frames of consecutive connections, on one time axis, and divides them into sessions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from memvit.streams.clock import StreamClock
from memvit.streams.events import SessionBegan, StreamStats
from memvit.types import Clip
from memvit.video.clips.quality import quality_of
from memvit.video.clips.sampler import ClipSampler
from memvit.video.sources.source import Frame


@dataclass(frozen=True)
class Resumption:
    """Where a stream continues that an earlier process watched."""

    next_index: int
    """The index of the next clip."""
    session: int
    last_centre_seconds: float
    passed_seconds: float
    """Seconds between that centre and now."""
    size: tuple[int, int] | None = None
    """(width, height) of the images for the model at that time; None if unknown."""


class SessionSampler:
    """Samples the clips of a stream, and begins a new session where memory must not be carried over."""

    def __init__(
        self,
        stream_id: str,
        make_sampler: Callable[[], ClipSampler],
        stats: StreamStats,
        *,
        memory_timeout_seconds: float,
        clock: Callable[[], float],
        resumption: Resumption | None,
    ) -> None:
        """A gap of more than `memory_timeout_seconds` in a live stream begins a new session."""
        self._stream_id, self._make_sampler, self._stats, self._clock = stream_id, make_sampler, stats, clock
        self._memory_timeout_seconds = memory_timeout_seconds
        self._sampler = make_sampler()
        self.session = resumption.session if resumption else 0
        self.wants_preview = True
        """Whether clips carry preview frames, if the sampler makes them."""
        self._resumed_seconds = resumption.last_centre_seconds if resumption else None
        self._resumed_size = resumption.size if resumption else None
        self._unix_offset: float | None = None
        """Unix time by the source's clock, less the time of the stream; None where the source tells none."""
        start = resumption.last_centre_seconds + resumption.passed_seconds if resumption else 0.0
        self._stream_clock = StreamClock(start_seconds=start, now=clock() if resumption else None)

    @property
    def hop_seconds(self) -> float:
        """Seconds between the centres of consecutive clips."""
        return self._sampler.hop_seconds

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the resized images that clips are made of; None before the first frame."""
        return self._sampler.size

    @property
    def position_seconds(self) -> float | None:
        """Time of the last frame on the stream's axis; None before the first."""
        return self._stream_clock.last_seconds

    def new_connection(self) -> None:
        """The next frame is the first of another connection."""
        self._stream_clock.new_connection()

    def take(self, frame: Frame, *, is_live: bool) -> list[Clip | SessionBegan]:
        """The clips that a frame completes, and the event of a new session if one begins with it."""
        before_seconds = self._stream_clock.last_seconds
        if before_seconds is None:
            before_seconds = self._resumed_seconds
        timed = self._stream_clock.assign_time(frame, is_live=is_live)
        self._stats.clock_jumps = self._stream_clock.jumps
        size, old_size = self._sampler.size_of(timed), self._sampler.size or self._resumed_size
        self._resumed_size = None
        gap_seconds = timed.pts_seconds - before_seconds if before_seconds is not None else 0.0
        events: list[Clip | SessionBegan] = []
        if old_size is not None and old_size != size:
            was, now = (f"{width}×{height}" for width, height in (old_size, size))
            self._stats.size_changes += 1
            events += self.finish(frame.received_at)
            events.append(self._new_session(f"the shape of the picture has changed, for the model from {was} to {now}"))
        elif is_live and gap_seconds > self._memory_timeout_seconds:
            events.append(self._new_session(f"nothing came for {gap_seconds:.0f} s"))
        self._sampler.shows_preview = self.wants_preview
        captured = frame.captured_unix
        self._unix_offset = None if captured is None else captured - timed.pts_seconds
        return events + self._with_times_and_quality(self._sampler.push(timed), frame.received_at)

    def finish(self, received_at: float) -> list[Clip | SessionBegan]:
        """The last clips of the session, padded at their end. No more frames of this session may follow."""
        return self._with_times_and_quality(self._sampler.finish(), received_at)

    def _new_session(self, reason: str) -> SessionBegan:
        self._sampler = self._make_sampler()
        self.session += 1
        self._stats.sessions += 1
        return SessionBegan(self._stream_id, self.session, reason)

    def _with_times_and_quality(self, clips: list[Clip], received_at: float) -> list[Clip | SessionBegan]:
        return [
            replace(
                clip,
                session=self.session,
                quality=quality_of(clip.frames),
                received_at=received_at,
                ready_at=self._clock(),
                captured_unix=None if self._unix_offset is None else self._unix_offset + clip.centre_seconds,
            )
            for clip in clips
        ]
