"""Which videos still want work, and how each is cut; ahead of the workers, in a thread of its own."""

from __future__ import annotations

import itertools
import math
import queue
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from memvit.store import Archive, VideoState, fingerprint
from memvit.store.archive import video_id
from memvit.types import MemvitError
from memvit.video.location import redact
from memvit.video.source import open_source

from .tasks import ExtractOptions, Task

MAX_ATTEMPTS = 5
"""So often a video may be begun without getting any further: its process died each time."""
AHEAD_VIDEOS = 8


@dataclass(frozen=True)
class Choices:
    """What to do with videos that an earlier run has seen."""

    retry_failed: bool = False
    redo_changed: bool = False
    verify: bool = False
    """Read finished videos back, and do damaged ones again."""


@dataclass
class Planned:
    """A video, and what is left to do."""

    state: VideoState
    location: str
    """With its credentials, if it has any."""
    tasks: list[Task] = field(default_factory=list)
    """Segments that are not finished; none if it only wants to be put together."""


class Planner:
    """Goes through the videos and puts what it finds into a short queue."""

    def __init__(self, archive: Archive, locations: Iterable[str], options: ExtractOptions, choices: Choices) -> None:
        self._archive, self._locations = archive, locations
        self._options, self._choices = options, choices
        self._found: queue.Queue[Planned | BaseException | None] = queue.Queue(AHEAD_VIDEOS)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="plan", daemon=True)
        self.is_finished = False

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the video at hand."""
        self._stopping.set()

    def take(self) -> Planned | None:
        """The next video, if one is ready; what went wrong with the store is raised here."""
        try:
            found = self._found.get_nowait()
        except queue.Empty:
            return None
        if isinstance(found, BaseException):
            raise found
        self.is_finished |= found is None
        return found

    def _run(self) -> None:
        try:
            for location in self._locations:
                if self._stopping.is_set():
                    return
                self._put(self.plan(location))
            self._put(None)
        except Exception as error:
            self._put(error)

    def _put(self, item: Planned | BaseException | None) -> None:
        while not self._stopping.is_set():
            try:
                self._found.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def plan(self, location: str) -> Planned:
        """What is left to do of one video. StoreError if the archive cannot be written."""
        identity = video_id(location)
        known = self._archive.video(identity)
        if known is not None and known.state == "failed" and not self._choices.retry_failed:
            return Planned(known, location)
        if known is not None and known.state == "done":
            settled = self._settled(known, location)
            if settled is not None:
                return settled
            self._archive.forget(identity)
            known = None
        try:
            state = self._examined(identity, location)
        except (MemvitError, OSError) as error:
            return Planned(self.failed(VideoState(identity, redact(location), "failed"), str(error)), location)
        if known is not None and known.segments and self._is_unchanged(known, state):
            retried = known.state == "failed"
            state = replace(state, segments=known.segments, clips=known.clips, attempts=known.attempts * (not retried))
        elif known is not None:
            self._archive.forget(identity)
        return self.begin(state, location)

    def begin(self, state: VideoState, location: str) -> Planned:
        """Count the attempt, and say what is left; a video that never gets any further fails."""
        works = [self._archive.work(state.id, index) for index in range(len(state.segments))]
        clips = sum(work.clips for work in works)
        attempts = 1 if clips > state.clips else state.attempts + 1
        state = replace(state, clips=clips, attempts=attempts)
        if attempts > MAX_ATTEMPTS:
            reason = (
                f"{state.location}: it was begun {MAX_ATTEMPTS} times and never came past clip {clips}: each time its "
                "process died; leave it out, or try again with --retry-failed"
            )
            return Planned(self.failed(state, reason), location)
        self._archive.put(state)
        tasks = [
            Task(state.id, location, index, first, stop)
            for index, (first, stop) in enumerate(state.segments)
            if not works[index].is_finished
        ]
        return Planned(state, location, tasks)

    def failed(self, state: VideoState, reason: str) -> VideoState:
        """Record that a video cannot be done; what was committed of it stays for another try."""
        state = replace(state, state="failed", reason=reason)
        self._archive.put(state)
        return state

    def _settled(self, known: VideoState, location: str) -> Planned | None:
        """A finished video as it is, or None if it is to be done again."""
        if self._choices.verify and self._archive.damaged(known):
            return None
        try:
            mark = fingerprint(location)
        except OSError:
            mark = known.fingerprint  # gone since: its results stand
        if mark is None or known.fingerprint is None or mark.is_same(known.fingerprint):
            return Planned(known, location)
        if self._choices.redo_changed:
            return None
        reason = f"{known.location}: it changed since it was extracted; do it again with --redo-changed"
        return Planned(replace(known, state="failed", reason=reason), location)

    def _examined(self, identity: str, location: str) -> VideoState:
        """Open the video; SourceError if that fails, or there is no end to it."""
        options = self._options
        with open_source(
            location,
            frames_per_second=options.frames_per_second,
            start_seconds=options.start_seconds,
            limits=options.limits,
        ) as source:
            info = source.info
            start_seconds = next(source).pts_seconds
        if info.is_live:
            raise MemvitError(f"{redact(location)}: it has no end; watch it with `memvit watch`")
        return VideoState(
            identity,
            redact(location),
            "running",
            fingerprint=fingerprint(location),
            duration_seconds=info.duration_seconds,
            segments=segments_of(info.duration_seconds, start_seconds, options),
        )

    @staticmethod
    def _is_unchanged(known: VideoState, now: VideoState) -> bool:
        if known.fingerprint is None or now.fingerprint is None:
            return known.duration_seconds == now.duration_seconds
        return known.fingerprint.is_same(now.fingerprint)


def segments_of(
    duration_seconds: float | None, start_seconds: float, options: ExtractOptions
) -> tuple[tuple[int | None, int | None], ...]:
    """Numbers of the first clip and the one after the last of each segment, about equally long."""
    if not duration_seconds or options.segment_seconds <= 0:
        return ((None, None),)
    count = max(1, round(duration_seconds / options.segment_seconds))
    bounds = {
        math.ceil((start_seconds + duration_seconds * index / count) / options.hop_seconds) for index in range(1, count)
    }
    edges: list[int | None] = [None, *sorted(bounds), None]
    return tuple(itertools.pairwise(edges))
