"""What the service asks of an engine worker, whether the worker runs in this process or in an actor of Ray."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from memvit.events.event import Event
from memvit.streams.events import ReaderStatus
from memvit.streams.policy import LivePolicy
from memvit.streams.watcher import StreamEvent
from memvit.types import MemvitError
from memvit.video.clips.track_frames import DEFAULT_TRACK_RATE
from memvit.video.limits import DEFAULT_LIMITS, VideoLimits
from pipelines.record.recording import RecorderStatus, Recording

from .addresses import AddressRules
from .resume import ResumeState
from .worker_events import EventSettings

WorkerEvent: TypeAlias = StreamEvent | Event | Recording | RecorderStatus
"""What a worker reports: what happened to a stream, its results, the events of the rules, and their recordings."""
OnEvents: TypeAlias = Callable[[Sequence[WorkerEvent]], None]
HUNG_SECONDS = 120.0
"""An engine that has not finished a step for so long is taken for hung: on a CPU a batch may be slow."""


class EngineDown(MemvitError):
    """The engine hangs, or has ended: nothing can be added, removed or saved."""


@dataclass(frozen=True)
class WorkerSettings:
    """How a worker cuts clips and previews from its streams."""

    hop_seconds: float = 1.0
    track_rate: float = DEFAULT_TRACK_RATE
    """Detections a second between keyframes."""
    limits: VideoLimits = DEFAULT_LIMITS
    preview_width: int = 640
    """Width in pixels of the frames that are drawn for clients."""
    preview_frames_per_second: float = 10.0
    events: EventSettings | None = None
    """Rules of events; None looks for none."""


@dataclass(frozen=True)
class WatchRequest:
    """A stream that a worker is to watch."""

    stream_id: str
    location: str
    policy: LivePolicy
    realtime: bool = False
    """Play a file at its own speed, again and again, like a camera."""
    resume_state: ResumeState | None = None
    """Where an earlier run left the stream; None for a new stream."""
    addresses: AddressRules | None = None
    """Which addresses the source may connect to; None for a source that the server itself was started with."""


class WorkerHandle(Protocol):
    """An engine worker, in this process or in another one.

    All methods that add, remove or save raise EngineDown if the engine does not answer.
    """

    @property
    def is_healthy(self) -> bool:
        """Whether the engine runs and has finished a step lately."""

    @property
    def failure(self) -> str | None:
        """Why the engine has ended for good; None while it has not."""

    def start(self, on_events: OnEvents) -> None:
        """Start the engine; `on_events` is called from a thread of the worker."""

    def close(self) -> dict[str, ResumeState]:
        """Stop the engine; returns the resume state of every stream."""

    def add(self, request: WatchRequest) -> None:
        """Watch a stream whose id is not in use."""

    def remove(self, stream_id: str) -> None:
        """Stop watching a stream."""

    def change_rules(self, settings: EventSettings) -> None:
        """Other rules of events, from the next clip of each stream on."""

    def set_preview_wanted(self, stream_id: str, is_wanted: bool) -> None:
        """Make preview frames of a stream, or stop making them; an unknown stream is ignored."""

    def status(self, stream_id: str) -> ReaderStatus:
        """The status of a stream; KeyError if this worker does not watch it."""

    def resume_state(self, stream_id: str) -> ResumeState:
        """What is needed to go on with a stream; KeyError if this worker does not watch it."""
