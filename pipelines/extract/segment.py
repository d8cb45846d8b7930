"""One segment while it is processed: where reading begins, which clips count, when results are committed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from memvit.engine.engine import Engine
from memvit.results.result import Result
from memvit.store import Rows, SegmentWork, rows_of
from memvit.store.sightings import LookedAt
from memvit.tracking.appearance import describe
from memvit.types import Clip, PersonBoxes
from memvit.video.clips.ranges import NumberedClip

from .people import ClipPeople
from .tasks import ClipRange, ExtractOptions, ExtractTask

MAX_UNCOMMITTED_BYTES = 32 << 20
"""Results of a segment are committed at this size, even if --commit asks for more clips: it bounds the memory that a
large --commit or many people in each clip would take."""


class InconsistentSeek(Exception):
    """Reading from the middle gave other frames than before, or too few; read again from an earlier place."""


class SegmentRun:
    """Chooses the clips of one segment that the engine sees, and commits the results.

    A segment that does not begin with the video is warmed up on the `receptive_field` clips before it, so that every
    result equals that of one run over the whole video. A model whose results depend on all clips before gets whole
    videos, never segments. An interrupted segment continues with its memory snapshot; the
    last committed clip is read again, and its frames must have the CRC-32 that was stored with it.
    """

    def __init__(
        self,
        task: ExtractTask,
        work: SegmentWork,
        engine: Engine,
        options: ExtractOptions,
        stored_as: type,
        people: ClipPeople | None = None,
    ) -> None:
        """`people` numbers people before the engine sees them; None if it needs no numbers."""
        self.task, self.work = task, work
        self._engine, self._options, self._stored_as, self._people = engine, options, stored_as, people
        self._reach_clips = engine.reach_clips
        self._extra_clips = 0
        self._looks: NDArray[np.float32] | None = None
        self._is_numbered = False
        self.looked_at: Sequence[LookedAt] = ()
        """The frames of the clip admitted last in which people were looked for; empty if that was done only once."""
        self._clear()

    def _clear(self) -> None:
        """Drop the results since the last commit."""
        self._results: list[Result] = []
        self._checksums: list[int] = []
        self._begins_session: list[bool] = []
        self._appearance: list[NDArray[np.float32] | None] = []
        self._looked_at: list[Sequence[LookedAt]] = []
        self.uncommitted_bytes = 0
        """Size of the results that are not committed yet."""

    def prepare(self) -> ClipRange:
        """Reset the engine's memory of this segment, or restore it, and return which clips are to be read."""
        self._engine.forget(self.task.key)
        self._clear()
        self._expected_crc32: dict[int, int] = {}
        self._warm_up: dict[int, int] = dict(self.work.warm_up)
        self._next_index = self._warm_clips = self._session = 0
        self._begins_video = False
        self._start = self.work.next_number if self.work.next_number is not None else self.task.first
        snapshot = self.work.snapshot()
        self._is_restored = snapshot is not None
        if self._people is not None:
            self._people.begin_session()
        if snapshot is not None:
            self._engine.restore(self.task.key, snapshot)
            if self._people is not None and snapshot.tracker is not None:
                self._people.restore(snapshot.tracker)
            self._next_index = snapshot.next_index
            self._expected_crc32 = self.work.last_checksums()
            return ClipRange(max(self._expected_crc32), self.task.stop)
        if self._start is None:
            return ClipRange(None, self.task.stop)
        if self._reach_clips is None:  # a commit whose memory is missing: from the beginning
            self.work.clear()
            self._start = None
            return ClipRange(None, self.task.stop)
        return ClipRange(self._start - self._reach_clips - self._extra_clips, self.task.stop)

    def admit(self, found: NumberedClip) -> Clip | None:
        """Return the clip for the engine, or None if it was read for its CRC-32 only.

        Raises InconsistentSeek if the segment must be read again: then call `prepare` again.
        """
        self._begins_video |= found.begins_video
        if self._expected_crc32.get(found.number, found.crc32) != found.crc32:
            self.work.clear()
            raise InconsistentSeek
        is_before = self._start is not None and found.number < self._start
        if is_before and self._is_restored:
            return None
        if is_before:
            self._warm_clips += 1
            self._warm_up[found.number] = found.crc32
        elif self._start is not None and not self._is_restored:
            missing = (self._reach_clips or 0) - self._warm_clips
            if missing > 0 and not self._begins_video and not self._results:
                self._extra_clips = 2 * (self._extra_clips + missing)
                raise InconsistentSeek
        if found.clip.session != self._session:  # Memory of one session must not reach the next.
            self._engine.forget(self.task.key)
            if self._people is not None:
                self._people.begin_session()
            self._session, self._next_index = found.clip.session, 0
        self._pending, self._looks, self._is_numbered = found, None, False
        self._next_index += 1
        self.looked_at = ()
        # People of the warm-up are not followed. A frame from before a gap is left out, because it would not be read if
        # the segment began after the gap.
        earliest = math.inf if is_before else found.clip.centre_seconds - self._options.hop_seconds
        frames = tuple(frame for frame in found.clip.track_frames if frame.pts_seconds > earliest)
        return replace(found.clip, stream_id=self.task.key, index=self._next_index - 1, track_frames=frames)

    def numbered(self, boxes: PersonBoxes) -> PersonBoxes:
        """Return the people of the clip admitted last with numbers, if the engine needs them and they have none.

        These numbers are not stored: the archive numbers people when the video is complete.
        """
        if self._people is None or boxes.persons is not None:
            return boxes
        self._is_numbered = True
        clip = self._pending.clip
        self._looks = None if self.looked_at else appearance_of(clip, boxes)
        return self._people.numbered(clip.centre_seconds, boxes, self._looks, self.looked_at)

    def take(self, result: Result) -> int:
        """Collect the result of the clip admitted last, and commit if enough are there.

        Returns how many clips this adds to the archive: 1, or 0 for a clip of the warm-up.
        """
        if self._start is not None and self._pending.number < self._start:
            return 0
        if self._is_numbered and result.boxes is not None:
            result = replace(result, boxes=replace(result.boxes, persons=None))
        self._results.append(result)
        self._checksums.append(self._pending.crc32)
        self._begins_session.append(self._pending.begins_session)
        appearance = self._looks
        if not self._is_numbered and not self.looked_at:
            appearance = appearance_of(self._pending.clip, result.boxes)
        self._appearance.append(appearance)
        self._looked_at.append(self.looked_at)
        self.uncommitted_bytes += bytes_of(result) + (appearance.nbytes if appearance is not None else 0)
        self.uncommitted_bytes += sum(frame.nbytes for frame in self.looked_at)
        if len(self._results) >= self._options.commit_clips or self.uncommitted_bytes >= MAX_UNCOMMITTED_BYTES:
            self.commit()
        return 1

    def commit(self) -> None:
        """Write the results since the last commit."""
        if self._results:
            snapshot = self._engine.snapshot(self.task.key)
            if self._people is not None:
                snapshot = replace(snapshot, tracker=self._people.state())
            self.work.commit(self._rows(), snapshot, self._warm_up)
            self._clear()

    def finish(self) -> Rows | None:
        """Complete the segment after its last clip.

        Returns the rows of a whole video that ended before its first commit; otherwise commits them and returns None.
        """
        is_whole = self.task.first is None and self.task.stop is None
        if is_whole and not self.work.parts and self._results:
            return self._rows()
        self.commit()
        self.work.finish()
        return None

    def _rows(self) -> Rows:
        return rows_of(
            self._results,
            self._checksums,
            hop_seconds=self._options.hop_seconds,
            stored_as=self._stored_as,
            begins_session=self._begins_session,
            appearance=self._appearance,
            looked_at=self._looked_at,
        )

    def drop(self) -> None:
        """Free the engine's memory of this segment; what was committed stays."""
        self._engine.forget(self.task.key)


def appearance_of(clip: Clip, boxes: PersonBoxes | None) -> NDArray[np.float32] | None:
    """Return (people, D): what each person looks like in the middle of the clip.

    None where people have numbers, and where the clip shows only a part of the frames.
    """
    if boxes is None or boxes.persons is not None:
        return None
    if clip.centre_image is not None:
        return describe(clip.centre_image, boxes.xyxy)
    return None if clip.source_size is None else describe(clip.frames[len(clip.frames) // 2], boxes.xyxy)


def bytes_of(result: Result) -> int:
    """Return the size of the arrays of a result."""
    arrays = [result.scores, result.features, result.box_features]
    arrays += [result.boxes.xyxy, result.boxes.scores] if result.boxes is not None else []
    return sum(array.nbytes for array in arrays if array is not None)
