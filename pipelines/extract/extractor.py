"""One worker of an extraction: batches the decoded clips of several segments, runs the engine, commits the results."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from memvit.boxes import BoxSource, PersonDetector, detection_size_of
from memvit.engine.engine import Engine
from memvit.engine.people import observe
from memvit.models import Preprocessing
from memvit.results.result import Result
from memvit.store import Archive
from memvit.store.persons import tracker_settings
from memvit.store.sightings import LookedAt
from memvit.streams.group import StreamEnded, StreamFailed
from memvit.tracking.appearance import SIZE
from memvit.types import Clip, MemvitError, PersonBoxes
from memvit.video.clips.sampler import sampling_for
from memvit.video.sources.location import source_name

from .people import people_for
from .reading import ClipRead, Reading, ReadSettings
from .segment import InconsistentSeek, SegmentRun
from .tasks import ExtractOptions, ExtractTask, Progressed, SegmentDone, SegmentFailed, SegmentLost, TaskEvent, Timings

STORED_AS: dict[str, type[np.floating]] = {"float32": np.float32, "float16": np.float16}
"""Values of --stored-as and the type in which scores and features are written."""


class Extractor:
    """Processes several segments with one engine; single-threaded but for the reading. A Ray actor wraps this class."""

    def __init__(
        self, engine: Engine, boxes: BoxSource | None, archive: Archive, reading: Reading, options: ExtractOptions
    ) -> None:
        self._engine, self._boxes, self._archive = engine, boxes, archive
        self._reading, self._options = reading, options
        self._runs: dict[str, SegmentRun] = {}
        self._decoders: dict[str, object] = {}
        self.timings = Timings()

    @property
    def running(self) -> int:
        """Number of open segments."""
        return len(self._runs)

    def begin(self, task: ExtractTask, decoder: object = None) -> None:
        """Open a segment and continue from its last commit; `decoder` is passed to the reading."""
        work = self._archive.work(task.video_id, task.segment)
        made_with = self._archive.provenance
        people = people_for(self._engine, tracker_settings(made_with.tracking))
        stored_as = STORED_AS[made_with.stored_as]
        self._runs[task.key] = SegmentRun(task, work, self._engine, self._options, stored_as, people)
        self._decoders[task.key] = decoder
        self._read(task.key)

    def advance(self, seconds: float) -> list[TaskEvent]:
        """Work for about so long, or until no segment is open, and return what happened.

        Raises StoreError if the archive cannot be written.
        """
        events: list[TaskEvent] = []
        until = time.perf_counter() + seconds
        while self._runs and (left := until - time.perf_counter()) > 0:
            began = time.perf_counter()
            ready = self._reading.ready(left)
            self.timings.waiting += time.perf_counter() - began
            clips: list[tuple[SegmentRun, Clip]] = []
            for event in ready:
                run = self._runs.get(event.stream_id)
                if run is None:
                    continue
                if isinstance(event, ClipRead):
                    clips += self._admit(run, event)
                elif isinstance(event, StreamEnded):
                    self._finish(run, event, events)
                elif isinstance(event, StreamFailed):
                    self._drop(run)
                    events.append(SegmentFailed(run.task.key, event.reason))
                else:
                    self._drop(run)
                    events.append(SegmentLost(run.task.key, event.reason))
            for start in range(0, len(clips), self._options.batch):
                self._process_batch(clips[start : start + self._options.batch], events)
        return events

    def drop(self, key: str) -> None:
        """Close a segment without a commit; what was committed before stays."""
        if key in self._runs:
            self._drop(self._runs[key])

    def close(self) -> None:
        """Stop reading, and commit the results that are there."""
        self._reading.close()
        for run in self._runs.values():
            run.commit()
        self._runs.clear()

    def _read(self, key: str) -> None:
        run = self._runs[key]
        self._reading.begin(key, run.task.location, run.prepare(), self._decoders[key])

    def _admit(self, run: SegmentRun, event: ClipRead) -> list[tuple[SegmentRun, Clip]]:
        try:
            clip = run.admit(event.numbered)
        except InconsistentSeek:
            self._read(run.task.key)
            return []
        return [(run, clip)] if clip is not None else []

    def _process_batch(self, batch: Sequence[tuple[SegmentRun, Clip]], events: list[TaskEvent]) -> None:
        began = time.perf_counter()
        batch, people = self._find_boxes(batch, events)
        results = self._step([clip for _, clip in batch], people) if batch else []
        self.timings.model += time.perf_counter() - began
        began = time.perf_counter()
        for (run, _), result in zip(batch, results, strict=True):
            if added := run.take(result):
                events.append(Progressed(run.task.key, added))
        self.timings.commit += time.perf_counter() - began

    def _find_boxes(
        self, batch: Sequence[tuple[SegmentRun, Clip]], events: list[TaskEvent]
    ) -> tuple[list[tuple[SegmentRun, Clip]], list[PersonBoxes] | None]:
        """Return the clips whose boxes were found, and these boxes.

        Where the box source fails for a clip, the segment of this clip fails and the others go on.
        """
        if self._boxes is None or not self._engine.wants_boxes:
            return list(batch), None
        with_boxes: list[tuple[SegmentRun, Clip]] = []
        people: list[PersonBoxes] = []
        for run, clip in batch:
            try:
                found = self._look(run, replace(clip, stream_id=source_name(run.task.location)))
                people.append(run.numbered(found))
                with_boxes.append((run, clip))
            except MemvitError as error:
                self._drop(run)
                events.append(SegmentFailed(run.task.key, str(error)))
        return with_boxes, people

    def _look(self, run: SegmentRun, clip: Clip) -> PersonBoxes:
        """Return the boxes of a clip whose actions are asked for, and keep where people are between keyframes."""
        assert self._boxes is not None
        if not (self._options.track_rate and isinstance(self._boxes, PersonDetector)):
            return self._boxes.boxes([clip])[0]
        answered: PersonBoxes | None = None
        frames: list[LookedAt] = []
        for seen in observe(self._boxes, [clip])[0]:
            is_detection = (seen.boxes.scores >= self._boxes.score_threshold) & seen.is_keyframe
            if seen.is_keyframe:
                answered = seen.boxes.select(is_detection)
            looks = seen.appearance if seen.appearance is not None else np.zeros((len(seen.boxes), SIZE), np.float32)
            frames.append(LookedAt(seen.pts_seconds, seen.boxes, looks, is_detection))
        assert answered is not None
        run.looked_at = frames
        return answered

    def _step(self, clips: list[Clip], people: list[PersonBoxes] | None) -> list[Result]:
        try:
            return self._engine.step(clips, people)
        except torch.OutOfMemoryError as error:
            raise MemvitError(
                f"the device has too little memory for a batch of {len(clips)}; use a smaller --batch"
            ) from error

    def _finish(self, run: SegmentRun, event: StreamEnded, events: list[TaskEvent]) -> None:
        began = time.perf_counter()
        rows = run.finish()
        self.timings.commit += time.perf_counter() - began
        self._drop(run)
        events.append(SegmentDone(run.task.key, str(event.counts), rows))

    def _drop(self, run: SegmentRun) -> None:
        run.drop()
        self._reading.end(run.task.key)
        self._runs.pop(run.task.key, None)
        self._decoders.pop(run.task.key, None)


def read_settings(preprocessing: Preprocessing, boxes: BoxSource | None, options: ExtractOptions) -> ReadSettings:
    """Return how videos are read for a model and a box source."""
    size = detection_size_of(boxes)
    sampler = {**sampling_for(preprocessing, options.hop_seconds), "detection_size": size}
    sampler |= {"track_frames_per_second": options.track_rate if size is not None else 0.0}
    return ReadSettings(
        sampler, options.queue_clips, options.frames_per_second, options.start_seconds, limits=options.limits
    )
