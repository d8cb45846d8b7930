"""Sources that follow a script, and a clock that the script moves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from memvit.streams.events import ReaderEvent
from memvit.streams.policy import LivePolicy
from memvit.streams.reader import LiveReader
from memvit.streams.session import Resumption
from memvit.types import Clip, Image, SourceError
from memvit.video.clips.sampler import ClipSampler
from memvit.video.sources.source import ReadCounts, Source, SourceInfo

FRAMES_PER_SECOND = 10


class Clock:
    """A clock in seconds that moves only when `pass_to` or `now` sets it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_to(self, seconds: float) -> None:
        self.now = max(self.now, seconds)


class Frame:
    """A frame of noise that depends on its time, or of one grey level."""

    def __init__(
        self, index: int, pts_seconds: float, received_at: float, size: tuple[int, int], level: int | None
    ) -> None:
        self.index, self.pts_seconds, self.received_at = index, pts_seconds, received_at
        self.container_seconds: float | None = None
        self.captured_unix: float | None = None
        self.width, self.height = size
        self._level = level

    def rgb(self, width: int | None = None, height: int | None = None) -> Image:
        shape = (height or self.height, width or self.width, 3)
        if self._level is not None:
            return np.full(shape, self._level, np.uint8)
        return np.random.default_rng(round(self.pts_seconds * 1000)).integers(256, size=shape, dtype=np.uint8)


@dataclass
class Video:
    """Frames of this many seconds, which arrive as fast as they are read; the clock follows them."""

    seconds: float
    from_seconds: float = 0.0
    """Time of the first frame on the source's own clock."""
    size: tuple[int, int] = (64, 48)
    level: int | None = None
    frames_per_second: float = FRAMES_PER_SECOND
    is_burst: bool = False
    """All frames arrive at once: the clock does not move."""


@dataclass
class Pass:
    """No frame arrives for this many seconds."""

    seconds: float


@dataclass
class Hang:
    """A read that blocks until `released` is set."""

    released: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)


Step = Video | Pass | Hang | SourceError


class ScriptedSource(Source):
    """One connection that follows a list of steps."""

    def __init__(self, steps: Sequence[Step], clock: Clock, *, is_live: bool) -> None:
        self.counts = ReadCounts()
        first = next((step for step in steps if isinstance(step, Video)), Video(0))
        self.info = SourceInfo("scripted", *first.size, first.frames_per_second, None, None, is_live)
        self._frames = self._run(steps, clock)
        self.is_closed = False

    def _run(self, steps: Sequence[Step], clock: Clock) -> Iterator[Frame]:
        index = 0
        for step in steps:
            if isinstance(step, Video):
                began = clock.now
                for number in range(round(step.seconds * step.frames_per_second)):
                    passed = number / step.frames_per_second
                    if not step.is_burst:
                        clock.pass_to(began + passed)
                    yield Frame(index, step.from_seconds + passed, clock.now, step.size, step.level)
                    index += 1
                if not step.is_burst:
                    clock.pass_to(began + step.seconds)
            elif isinstance(step, Pass):
                clock.pass_to(clock.now + step.seconds)
            elif isinstance(step, Hang):
                step.reached.set()
                step.released.wait(30)
            else:
                raise step

    def __next__(self) -> Frame:  # type: ignore[override]
        return next(self._frames)

    def close(self) -> None:
        self.is_closed = True


class Script:
    """The steps of each connection of a stream. If the first step is an error, the connection cannot be opened."""

    def __init__(self, clock: Clock, *connections: Sequence[Step], is_live: bool = True) -> None:
        self._clock, self._connections, self._is_live = clock, list(connections), is_live
        self.attempts_at: list[float] = []
        self.sources: list[ScriptedSource] = []

    def __call__(self) -> Source:
        self.attempts_at.append(self._clock.now)
        steps = self._connections.pop(0) if self._connections else [SourceError("scripted: no more", "refused")]
        if steps and isinstance(steps[0], SourceError):
            raise steps[0]
        if steps and isinstance(steps[0], Hang):
            steps[0].reached.set()
            steps[0].released.wait(30)
        self.sources.append(ScriptedSource(steps, self._clock, is_live=self._is_live))
        return self.sources[-1]


def sampler(stream_id: str = "a") -> ClipSampler:
    return ClipSampler(stream_id, num_frames=4, frame_interval=4, hop_seconds=1.0, short_side=32)


def reader(
    script: Script, clock: Clock, *, is_live: bool = True, resumption: Resumption | None = None, **policy: object
) -> LiveReader:
    """A started reader of a script. By default its source waits, so that no clip is dropped."""
    options = LivePolicy(**({"overflow": "wait"} | policy))  # type: ignore[arg-type]
    made = LiveReader(
        "a", script, sampler, policy=options, is_live=is_live, resumption=resumption, clock=clock,
    )  # fmt: skip
    made.start(threading.Condition())
    return made


def events(
    made: LiveReader,
    enough: Callable[[list[ReaderEvent]], bool],
    timeout_seconds: float = 5.0,
    *,
    clock: Clock | None = None,
) -> list[ReaderEvent]:
    """Take events until `enough` is true; `clock` is moved to the time of the next attempt to connect."""
    found: list[ReaderEvent] = []
    deadline = time.monotonic() + timeout_seconds
    while not enough(found):
        assert time.monotonic() < deadline, f"there were not enough events; state {made.state}, events {brief(found)}"
        with made.changed:
            made.poll()
            event = made.take()
            if event is None:
                if clock is not None and made.state == "waiting":
                    clock.pass_to(made.retry_at)
                made.changed.wait(0.002)
        if event is not None:
            found.append(event)
    return found


def of_kind(found: Sequence[object], kind: type) -> list:
    return [event for event in found if isinstance(event, kind)]


def clips(count: int) -> Callable[[list[ReaderEvent]], bool]:
    return lambda found: len(of_kind(found, Clip)) >= count


def seen(kind: type, count: int = 1) -> Callable[[list[ReaderEvent]], bool]:
    return lambda found: len(of_kind(found, kind)) >= count


def brief(found: Sequence[object]) -> list[str]:
    return [
        f"clip {event.index} at {event.centre_seconds:g}" if isinstance(event, Clip) else type(event).__name__
        for event in found
    ]
