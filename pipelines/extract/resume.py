"""Which videos still want work, and how each is cut; ahead of the workers, in a thread of its own."""

from __future__ import annotations

import itertools
import math
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from memvit.store import Archive, VideoState, fingerprint
from memvit.store.archive import video_id
from memvit.types import MemvitError
from memvit.video.sources.location import redact

from .apart import ProcessDied, in_own_process
from .inputs import refuse_special
from .reading import ProbedVideo, probe
from .tasks import ExtractOptions, ExtractTask

MAX_ATTEMPTS = 5
"""So often the process that opens or decodes a video, or answers for it, may die without getting any further."""
SUSPECT_AFTER = 2
"""So many jobs may die with a video at hand before it is opened and decoded in a process of its own."""
AHEAD_VIDEOS = 8


@dataclass(frozen=True)
class ResumePolicy:
    """What to do with videos that an earlier run has seen."""

    retry_failed: bool = False
    redo_changed: bool = False
    verify: bool = False
    """Read finished videos back, and do damaged ones again."""


@dataclass
class VideoPlan:
    """A video, and what is left to do."""

    state: VideoState
    location: str
    """With its credentials, if it has any."""
    tasks: list[ExtractTask] = field(default_factory=list)
    """Segments that are not finished; none if it only wants to be put together."""


class Planner:
    """Goes through the videos and puts what it finds into a short queue."""

    def __init__(
        self, archive: Archive, locations: Iterable[str], options: ExtractOptions, policy: ResumePolicy
    ) -> None:
        self._archive, self._locations = archive, locations
        self._options, self._policy = options, policy
        self._found: queue.Queue[VideoPlan | BaseException | None] = queue.Queue(AHEAD_VIDEOS)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="plan", daemon=True)
        self.is_finished = False

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the video at hand."""
        self._stopping.set()

    def take(self) -> VideoPlan | None:
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

    def _put(self, item: VideoPlan | BaseException | None) -> None:
        while not self._stopping.is_set():
            try:
                self._found.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def left(self) -> Iterator[VideoPlan]:
        """What was planned and never taken, once the planner was stopped."""
        while True:
            try:
                found = self._found.get_nowait()
            except queue.Empty:
                return
            if isinstance(found, VideoPlan):
                yield found

    def plan(self, location: str) -> VideoPlan:
        """What is left to do of one video. StoreError if the archive cannot be written."""
        identity = video_id(location)
        known = self._archive.video(identity)
        if known is not None and known.state == "failed" and not self._policy.retry_failed:
            return VideoPlan(known, location)
        if known is not None and known.state == "damaged":
            if not self._policy.verify:
                reason = f"{redact(location)}: in the archive {known.reason}; do it again with --verify"
                return VideoPlan(replace(known, state="failed", reason=reason), location)
            self._archive.forget(identity)
            known = None
        if known is not None and known.state == "done":
            settled = self._finished_plan(known, location)
            if settled is not None:
                return settled
            known = self._archive.redo(identity) or VideoState(identity, redact(location), "running", replaces=True)
        return self._open_and_plan(known or VideoState(identity, redact(location), "running"), location)

    def _open_and_plan(self, known: VideoState, location: str) -> VideoPlan:
        """Open a video that wants work; that it is at hand is written down before, for opening may kill the job."""
        known = replace(known, attempts=known.attempts + 1)
        self._archive.put(known)
        try:
            state = self._probe(known, location)
        except (MemvitError, OSError) as error:
            return VideoPlan(self.failed(known, str(error)), location)
        if known.fingerprint is None and known.duration_seconds is None:  # never opened before
            return self.begin(state, location)
        if self._is_unchanged(known, state):
            return self.begin(replace(state, segments=known.segments, clips=known.clips), location)
        self._archive.drop_work(known.id)
        return self.begin(state, location)

    def begin(self, state: VideoState, location: str) -> VideoPlan:
        """Record where it stands, and say what is left."""
        works = [self._archive.work(state.id, index) for index in range(len(state.segments))]
        clips = sum(work.clips for work in works)
        state = replace(state, clips=clips, attempts=1 if clips > state.clips else state.attempts)
        self._archive.put(state)
        tasks = [
            ExtractTask(state.id, location, index, first, stop, isolated=self._is_suspect(state))
            for index, (first, stop) in enumerate(state.segments)
            if not works[index].is_finished
        ]
        return VideoPlan(state, location, tasks)

    def failed(self, state: VideoState, reason: str) -> VideoState:
        """Record that a video cannot be done; what was committed of it stays for another try."""
        state = replace(state, state="failed", reason=reason)
        self._archive.put(state)
        return state

    def _finished_plan(self, known: VideoState, location: str) -> VideoPlan | None:
        """A finished video as it is, or None if it is to be done again."""
        if self._policy.verify and self._archive.damaged(known):
            return None
        try:
            mark = fingerprint(location)
        except OSError:
            mark = known.fingerprint  # gone since: its results stand
        if mark is None or known.fingerprint is None or mark.is_same(known.fingerprint):
            return VideoPlan(known, location)
        if self._policy.redo_changed:
            return None
        reason = f"{known.location}: it changed since it was extracted; do it again with --redo-changed"
        return VideoPlan(replace(known, state="failed", reason=reason), location)

    def _probe(self, known: VideoState, location: str) -> VideoState:
        """Open the video; SourceError if that fails, or there is no end to it."""
        refuse_special(location)
        found = self._probe_isolated(location) if self._is_suspect(known) else next(probe(location, self._options))
        if found.is_live:
            raise MemvitError(f"{redact(location)}: it has no end; watch it with `memvit watch`")
        return VideoState(
            known.id,
            redact(location),
            "running",
            fingerprint=fingerprint(location),
            duration_seconds=found.duration_seconds,
            segments=segments_of(found.duration_seconds, found.start_seconds, self._options),
            attempts=known.attempts,
            replaces=known.replaces,
        )

    def _probe_isolated(self, location: str) -> ProbedVideo:
        """Open it in a process of its own; MemvitError if that dies as often as is tried."""
        reason = ""
        for _ in range(MAX_ATTEMPTS):
            try:
                return next(in_own_process(partial(probe, location, self._options)))
            except ProcessDied as error:
                reason = str(error)
        raise MemvitError(f"{redact(location)}: what opened it died {MAX_ATTEMPTS} times ({reason}); leave it out")

    @staticmethod
    def _is_suspect(state: VideoState) -> bool:
        """Whether so many jobs died with it at hand, no further than before, that it may be the reason."""
        return state.attempts > SUSPECT_AFTER

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
