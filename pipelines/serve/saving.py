"""Saves streams: each when it is added, soon after something happened to it, and every few seconds while it runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from memvit.streams.events import ReaderStatus

from .requests import StreamRequest
from .state import SavedStream, StateFolder
from .worker import EngineDown, ResumeState, WorkerHandle

log = logging.getLogger("memvit.serve")
STEP_SECONDS = 0.05
SOON_SECONDS = 1.0
"""At least so long between two savings of one stream, whatever happens to it."""


@dataclass
class _Saved:
    """What is known of the last saving of a stream."""

    request: StreamRequest
    desk: WorkerHandle
    at: float
    seen: tuple[object, ...] = ()
    """What the stream had come to; as long as it is the same there is nothing to save."""
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
    def is_well(self) -> bool:
        """Whether it runs, and the last thing that was to be written could be."""
        return self._thread.is_alive() and self._failed_at is None

    def load(self) -> list[SavedStream]:
        """The streams of the last run; files that are no good are told in the log."""
        saved, bad = self._folder.load() if self._folder is not None else ([], [])
        for sentence in bad:
            log.warning("%s", sentence)
        return saved

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def save_last(self, standings: Mapping[str, ResumeState]) -> None:
        """Save where streams stood in the end."""
        for stream_id, standing in standings.items():
            with self._writing:
                if (saved := self._streams.get(stream_id)) is not None:
                    self._write(stream_id, saved.request, standing)

    def add(self, stream_id: str, request: StreamRequest, desk: WorkerHandle, standing: ResumeState | None) -> bool:
        """Save a stream that is about to be watched; False if the disk takes no more."""
        with self._writing:
            self._streams[stream_id] = _Saved(request, desk, time.monotonic())
            return self._write(stream_id, request, standing or ResumeState())

    def remove(self, stream_id: str) -> None:
        """A stream is no more."""
        with self._writing:
            self._streams.pop(stream_id, None)
            if self._folder is not None:
                self._folder.remove(stream_id)

    def note_change(self, stream_id: str) -> None:
        """Something has happened to a stream that should be saved soon."""
        if (saved := self._streams.get(stream_id)) is not None:
            saved.is_changed = True

    def _run(self) -> None:
        while self._folder is not None and not self._stopping.wait(STEP_SECONDS):
            now = time.monotonic()
            for stream_id, saved in list(self._streams.items()):
                if now - saved.at > (
                    min(SOON_SECONDS, self._every_seconds) if saved.is_changed else self._every_seconds
                ):
                    self._save(stream_id)
                    break  # one at a time, so that a server that ends does not wait for many
            else:
                if self._failed_at is not None and now - self._failed_at > self._every_seconds:
                    self._try_again()
        self._stopping.wait()

    def _save(self, stream_id: str) -> None:
        with self._writing:
            saved = self._streams.get(stream_id)
            if saved is None:
                return
            saved.at, saved.is_changed = time.monotonic(), False
            try:
                seen = _seen(saved.desk.status(stream_id))
                if seen != saved.seen and self._write(stream_id, saved.request, saved.desk.standing(stream_id)):
                    saved.seen = seen
            except (KeyError, EngineDown):
                return

    def _write(self, stream_id: str, request: StreamRequest, standing: ResumeState) -> bool:
        if self._folder is None:
            return True
        try:
            self._folder.save(SavedStream(stream_id, self._model, request.model_dump(), standing))
        except OSError as error:
            self._failed_at = time.monotonic()
            log.warning("the state of stream %s cannot be saved (%s); what was saved stands", stream_id, error)
            return False
        self._failed_at = None
        return True

    def _try_again(self) -> None:
        """Whether the folder takes something again, although no stream has anything to save."""
        assert self._folder is not None
        try:
            self._folder.check()
            self._failed_at = None
        except OSError:
            self._failed_at = time.monotonic()


def _seen(status: ReaderStatus) -> tuple[object, ...]:
    return status.state, status.session, status.stats.frames, status.stats.clips
