"""Putting finished videos together, beside the work on others."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace

from memvit.store import Archive, Rows, SegmentWork, VideoState

IN_ONE_PIECE = "read in one piece: entered in the middle it gave other frames"
NOT_READABLE = "a committed part could not be read back and was done again"


class Finalizer:
    """Turns the parts of a video into its arrays, in a thread of its own."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._wanted: queue.SimpleQueue[tuple[VideoState, Rows | None] | None] = queue.SimpleQueue()
        self._closed: queue.SimpleQueue[VideoState | BaseException] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="close", daemon=True)
        self.pending = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, state: VideoState, rows: Rows | None = None) -> None:
        """Have a video put together whose segments are finished, or whose `rows` these are."""
        self.pending += 1
        self._wanted.put((state, rows))

    def take(self) -> VideoState | None:
        """What `finalize_video` made of a video, if one is ready; what went wrong with the store is raised here."""
        try:
            found = self._closed.get_nowait()
        except queue.Empty:
            return None
        self.pending -= 1
        if isinstance(found, BaseException):
            raise found
        return found

    def stop(self) -> None:
        """End after what was asked for."""
        self._wanted.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (wanted := self._wanted.get()) is not None:
            try:
                self._closed.put(finalize_video(self._archive, *wanted))
            except Exception as error:
                self._closed.put(error)


def finalize_video(archive: Archive, state: VideoState, rows: Rows | None = None) -> VideoState:
    """The state `done` once the arrays are there; `running` with what is to be done again if parts do not fit."""
    if rows is not None:
        return _done(archive, state, [rows], len(rows), rows.num_people)
    works = [archive.work(state.id, index) for index in range(len(state.segments))]
    if not all(work.is_finished for work in works):
        return replace(state, note=NOT_READABLE)
    if not do_segments_agree(works):
        archive.drop_work(state.id)
        state = replace(state, segments=((None, None),), clips=0, note=IN_ONE_PIECE)
        archive.put(state)
        return state
    clips, people = sum(work.clips for work in works), sum(work.people for work in works)
    parts = itertools.chain.from_iterable(work.rows() for work in works)
    state = _done(archive, state, parts, clips, people)
    archive.drop_work(state.id)
    return state


def _done(archive: Archive, state: VideoState, parts: Iterable[Rows], clips: int, people: int) -> VideoState:
    replaced = state.replaces
    if replaced:  # from here on the earlier result does not count any more
        state = replace(state, replaces=False)
        archive.put(state)
    digests = archive.finish(state, parts, clips, people)
    state = replace(state, state="done", clips=clips, people=people, digests=digests, attempts=0, reason="")
    archive.put(state)
    if replaced:
        archive.drop_work(state.id)
    return state


def do_segments_agree(works: Sequence[SegmentWork]) -> bool:
    """Whether each segment was warmed up on the very frames that the segments before it saw."""
    wanted = {number: crc for work in works for number, crc in work.warm_up.items()}
    if not wanted:
        return True
    for work in works:
        for rows in work.rows():
            for number, crc in zip(rows.clips["number"].tolist(), rows.clips["frames_crc32"].tolist(), strict=True):
                if wanted.pop(number, crc) != crc:
                    return False
    return not wanted
