"""The loop that answers many streams: whatever is ready → one batch → results, and the news of every stream."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from memvit.boxes import BoxSource
from memvit.engine.engine import Engine
from memvit.results.result import Latency, Result
from memvit.runtime.device_errors import DeviceLost, device_answers
from memvit.streams.events import ReaderEvent, SessionBegan
from memvit.streams.group import ReaderGroup, StreamEnded, StreamFailed
from memvit.streams.policy import LivePolicy
from memvit.streams.reader import LiveReader
from memvit.streams.session import Resumption
from memvit.types import Clip, PersonBoxes
from memvit.video.clips.sampler import ClipSampler
from memvit.video.limits import DEFAULT_LIMITS, VideoLimits
from memvit.video.sources.location import is_always_live
from memvit.video.sources.open import open_source
from memvit.video.sources.source import Source

POLL_SECONDS = 0.2
"""How long the loop sleeps at most while nothing is ready; the watchdogs' step."""
NO_FRAMES = np.zeros((0, 1, 1, 3), np.uint8)


@dataclass(frozen=True)
class ClipResult:
    """A clip and what the model said of it."""

    clip: Clip
    result: Result

    @property
    def stream_id(self) -> str:
        """Of both."""
        return self.clip.stream_id

    def without_images(self) -> ClipResult:
        """Without the images that only the model and the detector needed: what is kept, or sent elsewhere."""
        return replace(self, clip=replace(self.clip, frames=NO_FRAMES, centre_image=None))


StreamEvent: TypeAlias = ClipResult | ReaderEvent


class Watcher:
    """One engine, any number of streams that come and go; a stream in trouble is news and stops no other."""

    def __init__(
        self,
        engine: Engine,
        boxes: BoxSource | None = None,
        *,
        hop_seconds: float = 1.0,
        max_batch_clips: int | None = None,
        preview_width: int | None = None,
        preview_frames_per_second: float | None = None,
        limits: VideoLimits = DEFAULT_LIMITS,
    ) -> None:
        """`boxes` are needed for a model that answers for people. At most `max_batch_clips` streams share a batch: a
        clip waits for one batch that it is not in, and larger ones take longer. None lets the device decide.
        """
        self.engine, self.boxes = engine, boxes if engine.wants_boxes else None
        self.hop_seconds, self._limits = hop_seconds, limits
        self._preview = {"preview_width": preview_width, "preview_frames_per_second": preview_frames_per_second}
        self.max_batch_clips = max_batch_clips or (CPU_BATCH_CLIPS if engine.device.type == "cpu" else GPU_BATCH_CLIPS)
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
    ) -> LiveReader:
        """Begin to watch. ValueError if there is such a stream. `connect` opens the source where `location` is not all
        there is to say; `retry_initial` tries again what may or may not be live and cannot be opened at first.
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
        )
        self._readers[stream_id] = reader
        self._group.add(reader)
        return reader

    def warm_up(self) -> None:
        """Answer an empty clip: the first answer of a process is slow, and should not make live clips late."""
        preprocessing = self.engine.preprocessing
        height = preprocessing.short_side
        width = height if preprocessing.crop == "center" else height * 16 // 9
        frames = np.zeros((preprocessing.num_frames, height, width, 3), np.uint8)
        name = "warming up"
        for index in range(2):  # the second reads memory
            clip = Clip(name, index, float(index), float(index), float(index), frames, centre_image=frames[0])
            self.engine.step([clip], [WHOLE_FRAME] if self.engine.wants_boxes else None)
            if self.boxes is not None and self.boxes.wants_centre_image:
                self.boxes.boxes([clip])
        self.engine.forget(name)

    def remove(self, stream_id: str) -> None:
        """Stop watching and forget; nothing happens if there is no such stream."""
        self._group.remove(stream_id)
        self._readers.pop(stream_id, None)
        self.engine.forget(stream_id)

    @property
    def streams(self) -> dict[str, LiveReader]:
        """What is being watched."""
        return dict(self._readers)

    @property
    def lead_seconds(self) -> float:
        """How long before its centre a clip begins to be read."""
        return self._sampler("").lead_seconds

    def step(self, timeout_seconds: float = POLL_SECONDS) -> list[StreamEvent]:
        """Wait until something is ready, at most so long, and answer it. Streams that ended are gone afterwards.

        DeviceLost if the device has failed for good: no stream can be answered in this process any more.
        """
        events: list[StreamEvent] = []
        clips: list[Clip] = []
        for event in self._group.ready(timeout_seconds, max_events=self.max_batch_clips):
            if isinstance(event, Clip):
                clips.append(event)
                continue
            events.append(event)
            if isinstance(event, SessionBegan):
                self.engine.forget(event.stream_id)
            elif isinstance(event, StreamEnded | StreamFailed):
                self.remove(event.stream_id)
        there = [clip for clip in clips if clip.stream_id in self._readers]
        # A size after the other: where one cannot be answered, the others have not been.
        for shape in sorted({clip.frames.shape for clip in there}):
            events += self._answer([clip for clip in there if clip.frames.shape == shape])
        return events

    def wake(self) -> None:
        """Let a `step` that waits return at once; may be called from any thread."""
        self._group.wake()

    def events(self, stopping: threading.Event | None = None) -> Iterator[StreamEvent]:
        """All that happens, until every stream has ended or `stopping` is set."""
        while self._readers and not (stopping and stopping.is_set()):
            yield from self.step()

    def close(self) -> None:
        """Stop all streams."""
        for stream_id in list(self._readers):
            self.remove(stream_id)

    def _answer(self, clips: list[Clip]) -> list[StreamEvent]:
        try:
            return self._answer_batch(clips)
        except Exception as error:  # a clip that the model cannot answer must not take the others with it
            if not device_answers(self.engine.device):
                first_line = str(error).partition("\n")[0]
                raise DeviceLost(
                    f"{self.engine.device}: the device has failed and does not recover ({first_line}); start again"
                ) from error
            if len(clips) > 1:
                return [event for clip in clips for event in self._answer([clip])]
            stream_id = clips[0].stream_id
            reason = f"{stream_id}: the model cannot answer ({error})"
            reader = self._readers[stream_id]
            self.remove(stream_id)
            reader.fail(reason)
            return [StreamFailed(stream_id, reason)]

    def _answer_batch(self, clips: list[Clip]) -> list[StreamEvent]:
        began = time.monotonic()
        boxes = self.boxes.boxes(clips) if self.boxes is not None else None
        found = time.monotonic()
        results = self.engine.step(clips, boxes)
        done = time.monotonic()
        return [
            ClipResult(clip, replace(result, latency=latency_of(clip, began, found, done)))
            for clip, result in zip(clips, results, strict=True)
        ]

    def _sampler(self, stream_id: str) -> ClipSampler:
        return ClipSampler.for_model(
            stream_id,
            self.engine.preprocessing,
            hop_seconds=self.hop_seconds,
            want_centre_image=self.boxes is not None and self.boxes.wants_centre_image,
            limits=self._limits,
            **self._preview,
        )


WHOLE_FRAME = PersonBoxes(np.array([[0, 0, 1, 1]], np.float32), np.ones(1, np.float32))
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
    """Where the time went from the arrival of the clip's last frame to the result."""
    return Latency(
        decode_seconds=clip.ready_at - clip.received_at,
        queue_seconds=began - clip.ready_at,
        boxes_seconds=found - began,
        model_seconds=done - found,
    )
