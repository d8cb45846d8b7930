"""The loop that runs one model on many streams: the clips that are ready form a batch, whose results are events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from memvit.boxes import BoxSource, detection_size_of
from memvit.engine.engine import Engine
from memvit.engine.people import PeopleFinder
from memvit.engine.snapshot import StreamSnapshot
from memvit.results.result import Latency, Result
from memvit.runtime.device_errors import DeviceLost, device_answers
from memvit.streams.events import ReaderEvent, SessionBegan
from memvit.streams.group import ReaderGroup, StreamEnded, StreamFailed
from memvit.streams.policy import LivePolicy
from memvit.streams.reader import LiveReader
from memvit.streams.session import Resumption
from memvit.streams.thinning import DetectionBudget, thinned
from memvit.streams.warm_up import warm_up
from memvit.types import Clip
from memvit.video.clips.sampler import ClipSampler
from memvit.video.clips.track_frames import DEFAULT_TRACK_RATE
from memvit.video.limits import DEFAULT_LIMITS, VideoLimits
from memvit.video.packets import PacketRing
from memvit.video.sources.location import is_always_live
from memvit.video.sources.open import open_source
from memvit.video.sources.source import Source

POLL_SECONDS = 0.2
"""The longest time that a step waits while nothing is ready; connections are checked at this interval."""
MAX_CLOCK_ERROR_SECONDS = 120.0
"""A source whose clock is off by more than this was never set."""
NO_FRAMES = np.zeros((0, 1, 1, 3), np.uint8)


@dataclass(frozen=True)
class ClipResult:
    """A clip and the model's result for it."""

    clip: Clip
    result: Result

    @property
    def stream_id(self) -> str:
        """The stream of the clip."""
        return self.clip.stream_id

    def without_images(self) -> ClipResult:
        """The same without the images for the model and the detector, to be stored or sent to another process."""
        return replace(self, clip=replace(self.clip, frames=NO_FRAMES, centre_image=None, track_frames=()))


StreamEvent: TypeAlias = ClipResult | ReaderEvent


class Watcher:
    """One engine and any number of streams, which can be added and removed at any time. A stream may fail alone."""

    def __init__(
        self,
        engine: Engine,
        boxes: BoxSource | None = None,
        *,
        hop_seconds: float = 1.0,
        track_rate: float = DEFAULT_TRACK_RATE,
        max_batch_clips: int | None = None,
        preview_width: int | None = None,
        preview_frames_per_second: float | None = None,
        limits: VideoLimits = DEFAULT_LIMITS,
    ) -> None:
        """`boxes` finds the people, for a model that classifies their actions. A detector also looks at `track_rate`
        frames a second between the keyframes, to follow people; 0: at keyframes only. A batch holds clips of at most
        `max_batch_clips` streams: a larger batch takes longer, and other clips wait for it. None chooses by the device.
        """
        self.engine, self.boxes = engine, boxes if engine.wants_boxes else None
        self.people = PeopleFinder(self.boxes) if self.boxes is not None else None
        self._detection_size = detection_size_of(self.boxes)
        self._track_rate = track_rate if self._detection_size is not None else 0.0
        self.hop_seconds, self._limits = hop_seconds, limits
        self._preview = {"preview_width": preview_width, "preview_frames_per_second": preview_frames_per_second}
        self.max_batch_clips = max_batch_clips or (CPU_BATCH_CLIPS if engine.device.type == "cpu" else GPU_BATCH_CLIPS)
        self._budget = DetectionBudget(hop_seconds)
        self._group: ReaderGroup[ReaderEvent] = ReaderGroup()
        self._readers: dict[str, LiveReader] = {}

    def add(
        self,
        stream_id: str,
        location: str,
        *,
        policy: LivePolicy | None = None,
        connect: Callable[[], Source] | None = None,
        is_live: bool | None = None,
        retry_initial: bool | None = None,
        until_seconds: float | None = None,
        resumption: Resumption | None = None,
        packets: PacketRing | None = None,
    ) -> LiveReader:
        """Start to watch a stream. ValueError if there is one with this name.

        `connect` opens the source; by default `location` is opened with the policy's time-outs. `retry_initial`:
        whether a source that cannot be opened at first is tried again; by default only one that is always live.
        `packets`, if `connect` lets the source fill them, are told their times in the stream.
        """
        if stream_id in self._readers:
            raise ValueError(f"there is a stream {stream_id} already; remove it first, or choose another name")
        policy = policy or LivePolicy()
        reader = LiveReader(
            stream_id,
            connect or partial(open_with, location, policy, self._limits),
            partial(self._sampler, stream_id),
            policy=policy,
            is_live=is_always_live(location) if is_live is None else is_live,
            retry_initial=retry_initial,
            until_seconds=until_seconds,
            resumption=resumption,
            packets=packets,
        )
        self._readers[stream_id] = reader
        self._group.add(reader)
        return reader

    def warm_up(self) -> None:
        """Run detector and model on made pictures: the first run of a process is slow, and would make clips late."""
        detection_seconds, model_seconds = warm_up(self.engine, self.boxes)
        self._budget.measured(images=1, detection_seconds=detection_seconds, clips=1, model_seconds=model_seconds)

    def remove(self, stream_id: str) -> None:
        """Stop watching a stream and clear its memory; nothing happens if there is no such stream."""
        self._group.remove(stream_id)
        self._readers.pop(stream_id, None)
        self.forget(stream_id)

    def forget(self, stream_id: str) -> None:
        """Clear what is remembered of a stream: the model's memory, and who its people are."""
        self.engine.forget(stream_id)
        if self.people is not None:
            self.people.forget(stream_id)

    def snapshot(self, stream_id: str) -> StreamSnapshot:
        """The state of a stream between two clips; KeyError if it has had none."""
        snapshot = self.engine.snapshot(stream_id)
        return snapshot if self.people is None else replace(snapshot, tracker=self.people.state(stream_id))

    def restore(self, stream_id: str, snapshot: StreamSnapshot) -> None:
        """Remember of a stream what a snapshot holds, and nothing else."""
        self.forget(stream_id)
        if self.people is not None and snapshot.tracker is not None:
            self.people.restore(stream_id, snapshot.tracker)
        self.engine.restore(stream_id, snapshot)

    @property
    def streams(self) -> dict[str, LiveReader]:
        """The readers of all streams that are being watched, by stream id."""
        return dict(self._readers)

    @property
    def lead_seconds(self) -> float:
        """Seconds from a clip's first frame to its centre."""
        return self._sampler("").lead_seconds

    def step(self, timeout_seconds: float = POLL_SECONDS) -> list[StreamEvent]:
        """Wait until an event is ready, at most `timeout_seconds`, and run the model on the clips that are ready.

        Streams that ended are removed. DeviceLost if the device has failed and does not recover in this process.
        """
        events: list[StreamEvent] = []
        clips: list[Clip] = []
        for event in self._group.ready(timeout_seconds, max_events=self.max_batch_clips):
            if isinstance(event, Clip):
                clips.append(event)
                continue
            events.append(event)
            if isinstance(event, SessionBegan):
                self.forget(event.stream_id)
            elif isinstance(event, StreamEnded | StreamFailed):
                self.remove(event.stream_id)
        watched = [self._affordable(clip) for clip in clips if clip.stream_id in self._readers]
        # One size after the other, so that clips of one size that fail do not affect the others.
        for shape in sorted({clip.frames.shape for clip in watched}):
            events += self._run_model([clip for clip in watched if clip.frames.shape == shape])
        return events

    def wake(self) -> None:
        """Let a waiting `step` return at once. May be called from any thread."""
        self._group.wake()

    def events(self, stopping: threading.Event | None = None) -> Iterator[StreamEvent]:
        """All events, until every stream has ended or `stopping` is set."""
        while self._readers and not (stopping and stopping.is_set()):
            yield from self.step()

    def close(self) -> None:
        """Stop all streams, and wait a while for their threads."""
        for stream_id in list(self._readers):
            self.remove(stream_id)
        self._group.close()

    def _affordable(self, clip: Clip) -> Clip:
        """The clip with as many track frames as there is time for; all of them where its source waits."""
        reader = self._readers[clip.stream_id]
        if not reader.drops_clips:
            return clip
        live = sum(other.drops_clips and other.state == "live" for other in self._readers.values())
        return thinned(clip, self._budget.level(len(clip.track_frames), live), reader.stats)

    def _run_model(self, clips: list[Clip]) -> list[StreamEvent]:
        try:
            return self._run_batch(clips)
        except Exception as error:  # a clip on which the model fails must not affect the other streams
            if not device_answers(self.engine.device):
                first_line = str(error).partition("\n")[0]
                raise DeviceLost(
                    f"{self.engine.device}: the device has failed and does not recover ({first_line}); start again"
                ) from error
            if len(clips) > 1:
                return [event for clip in clips for event in self._run_model([clip])]
            stream_id = clips[0].stream_id
            reason = f"{stream_id}: the model cannot answer ({error})"
            reader = self._readers[stream_id]
            self.remove(stream_id)
            reader.fail(reason)
            return [StreamFailed(stream_id, reason)]

    def _run_batch(self, clips: list[Clip]) -> list[StreamEvent]:
        began = time.monotonic()
        people = self.people.find(clips) if self.people is not None else None
        found = time.monotonic()
        results = self.engine.step(clips, [one.boxes for one in people] if people is not None else None)
        done = time.monotonic()
        self._budget.measured(
            images=sum(one.detections for one in people or ()),
            detection_seconds=found - began,
            clips=len(clips),
            model_seconds=done - found,
        )
        if self.people is not None and people is not None:
            self.people.commit(people)
            results = [replace(result, trail=one.trail) for result, one in zip(results, people, strict=True)]
        return [
            ClipResult(
                clip, replace(result, latency=latency_of(clip, began, found, done), centre_unix=self._unix(clip))
            )
            for clip, result in zip(clips, results, strict=True)
        ]

    def _unix(self, clip: Clip) -> float | None:
        """Unix time of a clip's centre: by the source's own clock, or by the arrival of its last frame; None for a
        file.
        """
        if not self._readers[clip.stream_id].is_live:
            return None
        arrived_unix = time.time() - (time.monotonic() - clip.received_at)
        by_arrival = arrived_unix - (clip.end_seconds - clip.centre_seconds)
        captured = clip.captured_unix
        is_near = captured is not None and abs(captured - by_arrival) <= MAX_CLOCK_ERROR_SECONDS
        return captured if is_near else by_arrival

    def _sampler(self, stream_id: str) -> ClipSampler:
        return ClipSampler.for_model(
            stream_id,
            self.engine.preprocessing,
            hop_seconds=self.hop_seconds,
            detection_size=self._detection_size,
            track_frames_per_second=self._track_rate,
            limits=self._limits,
            **self._preview,
        )


CPU_BATCH_CLIPS, GPU_BATCH_CLIPS = 4, 64


def open_with(location: str, policy: LivePolicy, limits: VideoLimits) -> Source:
    """Open a source with the time-outs of a policy."""
    return open_source(
        location,
        open_timeout_seconds=policy.open_timeout_seconds,
        read_timeout_seconds=policy.read_timeout_seconds,
        limits=limits,
    )


def latency_of(clip: Clip, began: float, found: float, done: float) -> Latency:
    """The parts of the time from the arrival of the clip's last frame to the result.

    `began`, `found` and `done` are `time.monotonic()` before the people were looked for, after they were found, and
    after the model has run."""
    return Latency(
        decode_seconds=clip.ready_at - clip.received_at,
        queue_seconds=began - clip.ready_at,
        boxes_seconds=found - began,
        model_seconds=done - found,
    )
