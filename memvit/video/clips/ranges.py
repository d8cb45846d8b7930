"""Reads any range of a video's clips; they equal those of a reading of the whole video."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from memvit.types import Clip, SourceError
from memvit.video.clips.sampler import ClipSampler
from memvit.video.sources.source import SAME_SECONDS, Frame, ReadCounts, Source

FIRST_MARGIN_SECONDS = 0.5
"""Reading starts this much earlier than needed, and still earlier if no frame lies there (low rates, gaps)."""


@dataclass(frozen=True, eq=False)
class NumberedClip:
    """A clip of a range; `clip.index` counts from the first clip returned."""

    clip: Clip
    number: int
    """The centre's time divided by the hop: the same number wherever reading started."""
    crc32: int
    """Checksum of the clip's frames."""
    begins_video: bool
    """Whether this is the first clip of the video."""
    begins_session: bool
    """Whether the session of the clip before has ended; it does not depend on where reading started."""


class RangeReader:
    """Reads clips number `first` to `stop - 1` (None: from the beginning, or to the end), decoding little else.

    Clips that a drop-out leaves out are missing from the range as they are from the whole video.
    """

    def __init__(
        self,
        open_from: Callable[[float], Source],
        make_sampler: Callable[[], ClipSampler],
        first: int | None = None,
        stop: int | None = None,
    ) -> None:
        """`open_from` opens the video at a time in seconds; each time it is opened, `make_sampler` makes a sampler."""
        self._open_from, self._make_sampler, self._first, self._stop = open_from, make_sampler, first, stop
        self.counts = ReadCounts()
        """What went wrong while reading; complete when `clips` has ended."""

    def clips(self) -> Iterator[NumberedClip]:
        """The clips in order. SourceError if the video cannot be read, or breaks off."""
        source, head, sampler, from_start = self._enter()
        with source:
            self.counts = source.counts
            given = 0
            last_number: int | None = None
            last_session: int | None = None
            for clip in self._clips(sampler, _chained(head, source)):
                number = round(clip.centre_seconds / sampler.hop_seconds)
                if last_number is not None and number <= last_number:
                    continue  # both sides of a change of size have a clip there
                last_number = number
                begins_session, last_session = last_session not in (None, clip.session), clip.session
                if self._stop is not None and number >= self._stop:
                    return
                if self._first is None or number >= self._first:
                    begins_video = from_start and clip.index == 0 and clip.session == 0
                    crc32 = zlib.crc32(clip.frames.data)
                    yield NumberedClip(replace(clip, index=given), number, crc32, begins_video, begins_session)
                    given += 1

    def _clips(self, sampler: ClipSampler, frames: Iterator[Frame]) -> Iterator[Clip]:
        """The clips of each session. A new session begins where the size of the frames changes, as in live streams."""
        session = 0
        for frame in frames:
            if sampler.size is not None and sampler.size_of(frame) != sampler.size:
                yield from (replace(clip, session=session) for clip in sampler.finish())
                sampler, session = self._make_sampler(), session + 1
            yield from (replace(clip, session=session) for clip in sampler.push(frame))
        yield from (replace(clip, session=session) for clip in sampler.finish())

    def _enter(self) -> tuple[Source, Frame, ClipSampler, bool]:
        """Open the video early enough for the clip before the first one: source, first frame, sampler, from start?

        The clip before the first one is read too, because a sampler returns at least one clip, even after the last
        frame: the first clip asked for must not be returned if the whole video does not have it.
        """
        sampler, margin = self._make_sampler(), FIRST_MARGIN_SECONDS
        while True:
            latest = None if self._first is None else (self._first - 1) * sampler.hop_seconds - sampler.lead_seconds
            from_seconds = max(0.0, latest - margin) if latest is not None else 0.0
            source = self._open_from(from_seconds)
            try:
                head = next(source, None)
            except BaseException:
                source.close()
                raise
            if head is None:
                source.close()
                raise SourceError(f"{source.info.name}: there are no frames in it")
            if latest is None or from_seconds == 0 or head.pts_seconds <= latest + SAME_SECONDS:
                return source, head, sampler, from_seconds == 0
            source.close()
            margin *= 4


def _chained(head: Frame, source: Source) -> Iterator[Frame]:
    yield head
    yield from source
