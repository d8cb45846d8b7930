"""Saves streams: each when it is added, soon after something happened to it, and every few seconds while it runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from memvit.streams.events import ReaderStatus

from .handle import EngineDown, WorkerHandle
from .requests import StreamRequest
from .resume import ResumeState
from .state import SavedStream, StateFolder

log = logging.getLogger("memvit.serve")
STEP_SECONDS = 0.05
MIN_SAVE_SECONDS = 1.0
"""Two savings of one stream are at least so far apart, whatever happens to it."""


@dataclass
class _Saved:
    """A stream, and its last saving."""

    request: StreamRequest
    worker: WorkerHandle
    at: float
    progress: tuple[object, ...] = ()
    """The stream's progress at that time; while it is the same, there is nothing to save."""
    is_changed: bool = False


class Saver:
    """Writes to the state folder in a thread of its own; does nothing without a folder."""

    def __init__(self, folder: StateFolder | None, model: str, every_seconds: float) -> None:
        self._folder, self._model, self._every_seconds = folder, model, every_seconds
        self._streams: dict[str, _Saved] = {}
        self._writing = threading.Lock()
        """Held while a file is written or removed: a removed stream's state must not come back."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="save", daemon=True)
        self._failed_at: float | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether the thread runs, and the last attempt to write succeeded."""
        return self._thread.is_alive() and self._failed_at is None

    def load(self) -> list[SavedStream]:
        """The streams of the last run; the log names files that cannot be used."""
        saved, bad = self._folder.load() if self._folder is not None else ([], [])
        for sentence in bad:
            log.warning("%s", sentence)
        return saved

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def save_last(self, resume_states: Mapping[str, ResumeState]) -> None:
        """Save the resume states with which the engines ended."""
        for stream_id, resume_state in resume_states.items():
            with self._writing:
                if (saved := self._streams.get(stream_id)) is not None:
                    self._write(stream_id, saved.request, resume_state)

    def add(
        self, stream_id: str, request: StreamRequest, worker: WorkerHandle, resume_state: ResumeState | None
    ) -> bool:
        """Save a stream that is about to be watched; False if the disk takes no more."""
        with self._writing:
            self._streams[stream_id] = _Saved(request, worker, time.monotonic())
            return self._write(stream_id, request, resume_state or ResumeState())

    def remove(self, stream_id: str) -> None:
        """Delete the saved state of a stream."""
        with self._writing:
            self._streams.pop(stream_id, None)
            if self._folder is not None:
                self._folder.remove(stream_id)

    def note_change(self, stream_id: str) -> None:
        """Save a stream soon, because something has happened to it."""
        if (saved := self._streams.get(stream_id)) is not None:
            saved.is_changed = True

    def _run(self) -> None:
        while self._folder is not None and not self._stopping.wait(STEP_SECONDS):
            now = time.monotonic()
            for stream_id, saved in list(self._streams.items()):
                if now - saved.at > (
                    min(MIN_SAVE_SECONDS, self._every_seconds) if saved.is_changed else self._every_seconds
                ):
                    self._save(stream_id)
                    break  # one at a time, so that a server that ends does not wait for many
            else:
                if self._failed_at is not None and now - self._failed_at > self._every_seconds:
                    self._check_folder()
        self._stopping.wait()

    def _save(self, stream_id: str) -> None:
        with self._writing:
            saved = self._streams.get(stream_id)
            if saved is None:
                return
            saved.at, saved.is_changed = time.monotonic(), False
            try:
                progress = _progress(saved.worker.status(stream_id))
                if progress != saved.progress and self._write(
                    stream_id, saved.request, saved.worker.resume_state(stream_id)
                ):
                    saved.progress = progress
            except (KeyError, EngineDown):
                return

    def _write(self, stream_id: str, request: StreamRequest, resume_state: ResumeState) -> bool:
        if self._folder is None:
            return True
        try:
            self._folder.save(SavedStream(stream_id, self._model, request.model_dump(), resume_state))
        except OSError as error:
            self._failed_at = time.monotonic()
            log.warning("the state of stream %s cannot be saved (%s); what was saved stands", stream_id, error)
            return False
        self._failed_at = None
        return True

    def _check_folder(self) -> None:
        """Find out whether the folder can be written again, although no stream has anything to save."""
        assert self._folder is not None
        try:
            self._folder.check()
            self._failed_at = None
        except OSError:
            self._failed_at = time.monotonic()


def _progress(status: ReaderStatus) -> tuple[object, ...]:
    return status.state, status.session, status.stats.frames, status.stats.clips
