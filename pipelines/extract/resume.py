"""Decides what is left to do of each video, and into which segments it is cut, in a thread ahead of the workers."""

from __future__ import annotations

import itertools
import math
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from memvit.os_errors import sentence_of
from memvit.store import Archive, VideoState, fingerprint
from memvit.types import MemvitError
from memvit.video.sources.location import redact

from .apart import ProcessDied, in_own_process
from .inputs import refuse_special
from .moved import KnownVideos
from .reading import ProbedVideo, probe
from .tasks import ExtractOptions, ExtractTask

MAX_ATTEMPTS = 5
"""A video fails after so many deaths of the process that opens, decodes or processes it, without progress between."""
SUSPECT_AFTER = 2
"""After so many jobs that died while a video was open, it is opened and decoded in a process of its own."""
AHEAD_VIDEOS = 8
"""Number of videos that are planned ahead of the workers."""


@dataclass(frozen=True)
class ResumePolicy:
    """What to do with videos that an earlier run has processed."""

    retry_failed: bool = False
    """Try failed videos again."""
    redo_changed: bool = False
    """Process finished videos again whose file has changed."""
    verify: bool = False
    """Read finished videos back, and process damaged ones again."""


@dataclass
class VideoPlan:
    """A video, and what is left to do of it."""

    state: VideoState
    location: str
    """As the user gave it, with credentials."""
    tasks: list[ExtractTask] = field(default_factory=list)
    """Segments that are not complete; empty if the state is not `running`, or if only the final arrays are missing."""


class Planner:
    """Plans the videos one by one in a thread, and puts the plans into a queue of AHEAD_VIDEOS."""

    def __init__(
        self, archive: Archive, locations: Iterable[str], options: ExtractOptions, policy: ResumePolicy
    ) -> None:
        self._archive, self._locations = archive, locations
        self._options, self._policy = options, policy
        self._known_videos = KnownVideos(archive)
        self._plans: queue.Queue[VideoPlan | BaseException | None] = queue.Queue(AHEAD_VIDEOS)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="planner", daemon=True)
        self.is_finished = False
        """Whether the plan of the last video was taken."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the video that it is planning."""
        self._stopping.set()

    def take(self) -> VideoPlan | None:
        """Return the next plan, or None if none is ready. An exception of the thread is raised here."""
        try:
            found = self._plans.get_nowait()
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
                self._plans.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def left(self) -> Iterator[VideoPlan]:
        """Yield the plans that were never taken, after the planner was stopped."""
        while True:
            try:
                found = self._plans.get_nowait()
            except queue.Empty:
                return
            if isinstance(found, VideoPlan):
                yield found

    def plan(self, location: str) -> VideoPlan:
        """Return what is left to do of one video. Raises StoreError if the archive cannot be written."""
        identity, before = self._known_videos.id_of(location)
        plan = self._plan(identity, location)
        if before and plan.state.state == "done":
            plan.state = replace(plan.state, note=f"moved here from {before}; it is not extracted again")
        return plan

    def _plan(self, identity: str, location: str) -> VideoPlan:
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
            plan = self._finished_plan(known, location)
            if plan is not None:
                return plan
            known = self._archive.redo(identity) or VideoState(identity, redact(location), "running", replaces=True)
        return self._open_and_plan(known or VideoState(identity, redact(location), "running"), location)

    def _open_and_plan(self, known: VideoState, location: str) -> VideoPlan:
        """Open a video that is not done, and plan it. The attempt is counted before, since opening may kill the job."""
        known = replace(known, attempts=known.attempts + 1)
        self._archive.put(known)
        try:
            state = self._probe(known, location)
        except OSError as error:
            return VideoPlan(self.failed(known, sentence_of(error, redact(location))), location)
        except MemvitError as error:
            return VideoPlan(self.failed(known, str(error)), location)
        if known.fingerprint is None and known.duration_seconds is None:  # It was never opened before.
            return self.begin(state, location)
        if self._is_unchanged(known, state):
            return self.begin(replace(state, segments=known.segments, clips=known.clips), location)
        self._archive.drop_work(known.id)
        return self.begin(state, location)

    def begin(self, state: VideoState, location: str) -> VideoPlan:
        """Write the number of committed clips into the archive, and return the segments that are left."""
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
        """Write into the archive that a video failed; what was committed of it stays for another try."""
        state = replace(state, state="failed", reason=reason)
        self._archive.put(state)
        return state

    def _finished_plan(self, known: VideoState, location: str) -> VideoPlan | None:
        """Return the plan of a finished video with nothing left to do, or None if it is to be processed again."""
        if self._policy.verify and self._archive.damaged(known):
            return None
        try:
            current = fingerprint(location)
        except OSError:
            current = known.fingerprint  # The file was removed since: its results stay valid.
        if current is None or known.fingerprint is None or current.is_same(known.fingerprint):
            return VideoPlan(known, location)
        if self._policy.redo_changed:
            return None
        reason = f"{known.location}: it changed since it was extracted; do it again with --redo-changed"
        return VideoPlan(replace(known, state="failed", reason=reason), location)

    def _probe(self, known: VideoState, location: str) -> VideoState:
        """Open the video and return its state. Raises SourceError if that fails, MemvitError if it is a live stream."""
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
        """Open a video in a process of its own. Raises MemvitError if this process dies MAX_ATTEMPTS times."""
        reason = ""
        for _ in range(MAX_ATTEMPTS):
            try:
                return next(in_own_process(partial(probe, location, self._options)))
            except ProcessDied as error:
                reason = str(error)
        raise MemvitError(f"{redact(location)}: what opened it died {MAX_ATTEMPTS} times ({reason}); leave it out")

    @staticmethod
    def _is_suspect(state: VideoState) -> bool:
        """Whether so many jobs died while the video was open, without progress, that it may be the reason."""
        return state.attempts > SUSPECT_AFTER

    @staticmethod
    def _is_unchanged(known: VideoState, now: VideoState) -> bool:
        if known.fingerprint is None or now.fingerprint is None:
            return known.duration_seconds == now.duration_seconds
        return known.fingerprint.is_same(now.fingerprint)


def segments_of(
    duration_seconds: float | None, start_seconds: float, options: ExtractOptions
) -> tuple[tuple[int | None, int | None], ...]:
    """Cut a video into segments of about equal length.

    Returns of each the number of its first clip and of the clip after its last; None is the beginning or the end.
    """
    if not duration_seconds or options.segment_seconds <= 0:
        return ((None, None),)
    count = max(1, round(duration_seconds / options.segment_seconds))
    bounds = {
        math.ceil((start_seconds + duration_seconds * index / count) / options.hop_seconds) for index in range(1, count)
    }
    edges: list[int | None] = [None, *sorted(bounds), None]
    return tuple(itertools.pairwise(edges))
