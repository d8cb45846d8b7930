"""The driver of an extraction: gives segments to the pool, handles its events, writes the states of the videos."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from memvit.store import Archive, VideoState

from .finalizer import Finalizer
from .pool import Pool
from .resume import MAX_ATTEMPTS, Planner, ResumePolicy, VideoPlan
from .tasks import ExtractOptions, ExtractTask, Progressed, SegmentDone, SegmentFailed, SegmentLost, TaskEvent, Timings

TURN_SECONDS = 0.5
"""The pool works so long before it reports."""
MAX_PENDING = 8
"""While so many videos wait for the finalizer, no segment is started, because each may have its rows in memory."""


@dataclass
class JobSummary:
    """What an extraction did so far."""

    videos: int = 0
    """Number of videos that the inputs name."""
    done: dict[str, VideoState] = field(default_factory=dict)
    """Videos that this run finished, by id."""
    already_done: int = 0
    """Number of videos that an earlier run finished."""
    failed: dict[str, VideoState] = field(default_factory=dict)
    """Videos that failed, by id; those that failed earlier and were not tried again are among them."""
    clips: int = 0
    """Number of clips that this run processed."""
    video_seconds: float = 0.0
    """Length of the video that this run processed: clips × hop."""
    wall_seconds: float = 0.0
    """Time since the run began."""
    lost: int = 0
    """How often a worker or decoder died."""
    timings: Timings = field(default_factory=Timings)
    """How all workers together spent their time."""
    interrupted: bool = False
    """Whether it was stopped before all videos were completed."""

    @property
    def completed(self) -> int:
        """Number of videos that are done or failed."""
        return len(self.done) + self.already_done + len(self.failed)


@dataclass
class _OpenVideo:
    """A video that is planned and neither done nor failed."""

    state: VideoState
    location: str
    """As the user gave it, with credentials."""
    left: set[int]
    """Segments that are not complete."""
    notes: list[str] = field(default_factory=list)
    """What was skipped or repaired while reading its segments."""
    losses: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Segment → (how often its worker died without any new commit, clips that were committed then)."""


class Job:
    """An extraction; it runs until every video is done or has failed."""

    def __init__(
        self,
        archive: Archive,
        locations: Sequence[str],
        options: ExtractOptions,
        pool: Pool,
        policy: ResumePolicy,
        on_progress: Callable[[JobSummary, VideoState | None], None] = lambda summary, completed: None,
    ) -> None:
        self._archive, self._options, self._pool = archive, options, pool
        self._planner = Planner(archive, locations, options, policy)
        self._finalizer = Finalizer(archive)
        self._on_progress = on_progress
        self._waiting: deque[ExtractTask] = deque()
        self._open: dict[str, _OpenVideo] = {}
        self.summary = JobSummary(videos=len(locations))

    def run(self, stopping: threading.Event) -> JobSummary:
        """Process all videos until `stopping` is set. What was committed stays, however this ends.

        Raises StoreError if the archive cannot be written.
        """
        began = time.monotonic()
        self._planner.start()
        self._finalizer.start()
        try:
            while not stopping.is_set() and not self._is_over():
                self._dispatch()
                for event in self._pool.events(TURN_SECONDS):
                    self._handle(event)
                while (state := self._finalizer.take()) is not None:
                    self._handle_finalized(state)
                self.summary.wall_seconds = time.monotonic() - began
                self._on_progress(self.summary, None)
        finally:
            self.summary.timings = self._pool.timings()
            self._planner.stop()
            self._pool.close()
            self._finalizer.stop()
        self.summary.interrupted = not self._is_over()
        if self.summary.interrupted:
            self._reset_attempts()
        else:
            self._archive.tidy()
        self.summary.wall_seconds = time.monotonic() - began
        return self.summary

    def _is_over(self) -> bool:
        return self._planner.is_finished and not self._open and not self._waiting and not self._finalizer.pending

    def _dispatch(self) -> None:
        while self._finalizer.pending < MAX_PENDING and (room := self._pool.free()) > 0:
            while not self._waiting and (plan := self._planner.take()) is not None:
                self._handle_plan(plan)
            if not self._waiting:
                return
            for _ in range(min(room, len(self._waiting))):
                self._pool.begin(self._waiting.popleft())

    def _handle_plan(self, plan: VideoPlan) -> None:
        state = plan.state
        if state.state == "done":
            self.summary.already_done += 1
            self._on_progress(self.summary, state)
        elif state.state == "failed":
            self._record_failure(state)
        elif plan.tasks:
            left = {task.segment for task in plan.tasks}
            self._open[state.id] = _OpenVideo(state, plan.location, left)
            self._waiting.extend(plan.tasks)
        else:
            self._open[state.id] = _OpenVideo(state, plan.location, set())
            self._finalizer.put(state)

    def _handle(self, event: TaskEvent) -> None:
        video_id, _, segment = event.key.rpartition("/")
        video = self._open.get(video_id)
        if video is None:  # Another segment of this video has failed.
            return
        if isinstance(event, Progressed):
            self.summary.clips += event.clips
            self.summary.video_seconds += event.clips * self._options.hop_seconds
        elif isinstance(event, SegmentDone):
            video.left.discard(int(segment))
            video.notes += [event.note] if event.note else []
            if not video.left:
                note = "; ".join(dict.fromkeys([video.state.note, *video.notes])).strip("; ")
                video.state = replace(video.state, note=note)
                self._finalizer.put(video.state, event.rows)
        elif isinstance(event, SegmentFailed):
            self._abandon(video, self._planner.failed(video.state, event.reason))
        else:
            self._handle_loss(video, int(segment), event)

    def _handle_loss(self, video: _OpenVideo, segment: int, event: SegmentLost) -> None:
        self.summary.lost += 1
        state, clips = video.state, self._archive.work(video.state.id, segment).clips
        times, before = video.losses.get(segment, (0, 0))
        times = times + 1 if clips == before else 1
        video.losses[segment] = times, clips
        if times >= MAX_ATTEMPTS:
            reason = (
                f"{state.location}: its worker died {times} times after clip {clips} ({event.reason}); leave it out"
            )
            self._abandon(video, self._planner.failed(state, reason))
            return
        first, stop = state.segments[segment]
        self._waiting.appendleft(ExtractTask(state.id, video.location, segment, first, stop, isolated=True))

    def _abandon(self, video: _OpenVideo, state: VideoState) -> None:
        del self._open[state.id]
        self._waiting = deque(task for task in self._waiting if task.video_id != state.id)
        for index in range(len(state.segments)):
            self._pool.drop(f"{state.id}/{index}")
        self._record_failure(state)

    def _record_failure(self, state: VideoState) -> None:
        self.summary.failed[state.id] = state
        self._on_progress(self.summary, state)

    def _handle_finalized(self, state: VideoState) -> None:
        video = self._open[state.id]
        if state.state == "done":
            del self._open[state.id]
            self.summary.done[state.id] = state
            self._on_progress(self.summary, state)
            return
        plan = self._planner.begin(state, video.location)
        if plan.state.state == "failed":
            self._abandon(video, plan.state)
        else:
            self._open[state.id] = _OpenVideo(plan.state, video.location, {task.segment for task in plan.tasks})
            self._waiting.extend(plan.tasks)

    def _reset_attempts(self) -> None:
        """Reset the count of attempts of open videos: the user stopped the job, so none of them has killed it."""
        never_taken = [plan.state for plan in self._planner.left() if plan.state.state == "running"]
        for state in [*(video.state for video in self._open.values()), *never_taken]:
            self._archive.put(replace(state, attempts=0))
