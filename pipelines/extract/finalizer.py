"""Writes the final arrays of videos whose segments are complete, while other videos are processed."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace

from memvit.store import Archive, Rows, SegmentWork, VideoState

IN_ONE_PIECE = "read in one piece, because reading from the middle gave other frames"
NOT_READABLE = "a committed part could not be read back and was computed again"


class Finalizer:
    """Turns the parts of videos into their final arrays, in a thread of its own."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._requests: queue.SimpleQueue[tuple[VideoState, Rows | None] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[VideoState | BaseException] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="finalizer", daemon=True)
        self.pending = 0
        """Number of videos that were put and not yet taken."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, state: VideoState, rows: Rows | None = None) -> None:
        """Ask for the final arrays of a video: of its `rows`, or of its committed segments if `rows` is None."""
        self.pending += 1
        self._requests.put((state, rows))

    def take(self) -> VideoState | None:
        """Return the next result of `finalize_video`, or None if none is ready. An exception of it is raised here."""
        try:
            found = self._results.get_nowait()
        except queue.Empty:
            return None
        self.pending -= 1
        if isinstance(found, BaseException):
            raise found
        return found

    def stop(self) -> None:
        """Finish all requests and end the thread."""
        self._requests.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            try:
                self._results.put(finalize_video(self._archive, *request))
            except Exception as error:
                self._results.put(error)


def finalize_video(archive: Archive, state: VideoState, rows: Rows | None = None) -> VideoState:
    """Write the final arrays of a video and return its new state.

    The state is `done`, or still `running` if a part cannot be read back or if the segments do not agree; then the note
    says why, and the segments that are not finished are to be computed again.
    """
    if rows is not None:
        counts = {"clips": len(rows), "people": rows.num_people}
        counts |= {"frames": rows.num_frames, "sightings": rows.num_sightings}
        return _done(archive, state, [rows], counts)
    works = [archive.work(state.id, index) for index in range(len(state.segments))]
    if not all(work.is_finished for work in works):
        return replace(state, note=NOT_READABLE)
    if not do_segments_agree(works):
        archive.drop_work(state.id)
        state = replace(state, segments=((None, None),), clips=0, note=IN_ONE_PIECE)
        archive.put(state)
        return state
    counts = {name: sum(getattr(work, name) for work in works) for name in ("clips", "people", "frames", "sightings")}
    parts = itertools.chain.from_iterable(work.rows() for work in works)
    state = _done(archive, state, parts, counts)
    archive.drop_work(state.id)
    return state


def _done(archive: Archive, state: VideoState, parts: Iterable[Rows], counts: dict[str, int]) -> VideoState:
    replaced = state.replaces
    if replaced:  # The earlier result becomes invalid here, because its arrays are overwritten next.
        state = replace(state, replaces=False)
        archive.put(state)
    digests = archive.finish(state, parts, **counts)
    state = replace(state, persons=archive.persons(state.id), **counts)  # type: ignore[arg-type]  # all are numbers
    state = replace(state, state="done", digests=digests, attempts=0, reason="")
    archive.put(state)
    if replaced:
        archive.drop_work(state.id)
    return state


def do_segments_agree(works: Sequence[SegmentWork]) -> bool:
    """Whether the warm-up frames of each segment are those that the segments before it saw, by their CRC-32."""
    expected = {number: crc for work in works for number, crc in work.warm_up.items()}
    if not expected:
        return True
    for work in works:
        for rows in work.rows():
            for number, crc in zip(rows.clips["number"].tolist(), rows.clips["frames_crc32"].tolist(), strict=True):
                if expected.pop(number, crc) != crc:
                    return False
    return not expected
