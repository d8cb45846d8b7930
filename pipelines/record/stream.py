"""Records the events of one stream: its packets go to disk while an event goes on, and become a video at its end."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from memvit.events.event import Event
from memvit.types import Image
from memvit.video.limits import VideoLimits
from memvit.video.packets import EncodedPacket, PacketRing

from .finish import finish, recorded_before
from .options import RecordOptions
from .recording import Recording
from .segment import SUFFIX, Segment, SegmentWriter, read_segment
from .store import UNFINISHED
from .unfinished import OpenRecording, forget, load_open

log = logging.getLogger("memvit.record")
SEGMENT_SECONDS = 20.0
"""A segment ends with the first key frame after so long, so that what no event needs any more can be deleted."""
PATIENCE_SECONDS = 10.0
"""Packets that are still missing so long after they should have come do not come."""
DOUBT_SECONDS = 60.0
"""An event of an earlier run is finished after so long if nothing shows whether it goes on."""
OnNews = Callable[[Recording], None]


class StreamRecording:
    """Only the thread of the recorder calls it. OSError where the disk takes no more."""

    def __init__(
        self, stream_id: str, options: RecordOptions, limits: VideoLimits, ring: PacketRing, *, replaces: bool
    ) -> None:
        """`replaces`: an event that has a recording already is recorded again."""
        self.stream_id, self.options, self.ring = stream_id, options, ring
        self._limits, self._replaces = limits, replaces
        self._folder = options.folder / UNFINISHED / stream_id
        self._open: dict[str, OpenRecording] = {}
        self._done: set[str] = set()
        """Events that go on and whose recording is finished, because it was long enough or there was one before."""
        self._segments: list[Segment] = []
        self._writer: SegmentWriter | None = None
        self._left: set[str] = set()
        """Events of an earlier run that were finished when this one began; they may be told again from the start."""
        self._complete_seconds: float | None = None
        """Up to when all packets had come before the last of them were written."""
        self._begin = float("inf")
        """From when on packets are needed, as it was at the last step; earlier ones may be deleted."""
        self.is_over = False
        """Whether no more packets come."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being recorded."""
        return not self._open

    def adopt(self, open_ids: Sequence[str], on_news: OnNews, *, goes_on: bool = False) -> None:
        """Take over what an earlier run has left: events of `open_ids` go on, the others are finished.

        `goes_on`: the stream goes on with the same times. Events that have ended may still need packets then, and
        others began after the state was saved from which it goes on; those are told again.
        """
        self._load()
        for recording in list(self._open.values()):
            if recording.event.id in open_ids:
                continue
            if goes_on:
                recording.ended_at = time.monotonic()
                recording.is_doubtful = recording.event.state != "end"
            else:
                self._left.add(recording.event.id)
                self._finish(recording, on_news)
        self._tidy()

    def _load(self) -> None:
        if not self._folder.is_dir():
            return
        self._open = {one.event.id: one for one in load_open(self._folder)}
        for path in self._folder.glob(f"*{SUFFIX}"):
            found = read_segment(path)
            if found is not None:
                self._segments.append(found)
            else:
                path.unlink(missing_ok=True)

    def tell(self, event: Event, image: Image | None) -> None:
        """An event was told. `image`: what the model saw, if this was its best moment so far."""
        if event.id in self._done:
            if event.state == "end":
                self._done.discard(event.id)
            return
        recording = self._open.get(event.id)
        if recording is None:
            is_kept = not self._replaces and event.id not in self._left
            if is_kept and recorded_before(self.options.folder, event.id):
                if event.state != "end":
                    self._done.add(event.id)
                return
            at_unix = event.start_unix if event.start_unix is not None else time.time()
            recording = self._open[event.id] = OpenRecording(event, at_unix)
        recording.event, recording.is_saved, recording.is_doubtful = event, False, False
        if image is not None:
            recording.image = image
        recording.ended_at = time.monotonic() if event.state == "end" else None

    def answered(self, seconds: float) -> None:
        """A clip with this centre was answered; the events that follow from it are not told yet."""
        for recording in self._open.values():
            if recording.is_doubtful and recording.event.end_seconds < seconds:
                recording.is_doubtful = False  # it would have been told again

    def write(self) -> None:
        """Write the events that were told and the packets that have come."""
        if self._open:
            self._write()

    def finish_one(self, on_news: OnNews) -> bool:
        """Finish one recording that is complete; False if there is none. It may take a while, so that `write` should
        follow.
        """
        recording = next((one for one in self._open.values() if self._is_complete(one)), None)
        if recording is not None:
            self._finish(recording, on_news)
            self._tidy()
        return recording is not None

    def close(self, on_news: OnNews) -> None:
        """Finish all recordings as they are now. Events that go on after a restart are recorded further then."""
        if self._open:
            self._write()
        for recording in list(self._open.values()):
            self._finish(recording, on_news, keeps=recording.ended_at is None)
        if self._open:
            self._end_segment()
        else:
            self._tidy()

    def abandon(self) -> None:
        """Give up all that is not finished, and its room on the disk."""
        with suppress(OSError):
            self._end_segment()
        self._open.clear()
        self._segments.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for recording in self._open.values():
            if not recording.is_saved:
                recording.save(self._folder)
        # Before the packets are taken: what comes from now on is not on disk yet.
        self._complete_seconds = self.ring.complete_seconds
        begin = min(self._from_seconds(recording) for recording in self._open.values())
        numbers = [segment.first_number for segment in self._segments if segment.first_number is not None]
        if self._writer is None:
            self._append(from_key_frame(self.ring.after(0), begin))
        else:
            if begin < self._begin:
                self._write_older(begin, min(numbers))
            self._append(self.ring.after(self._writer.last_number))
        self._begin = begin
        if self._writer is not None:
            self._writer.flush()

    def _write_older(self, begin: float, first_number: int) -> None:
        """Write packets from before those on disk, for an event that is known later and began earlier."""
        older = [packet for packet in from_key_frame(self.ring.after(0), begin) if packet.number < first_number]
        current, self._writer = self._writer, None
        self._append(older)
        self._end_segment()
        self._writer = current

    def _append(self, packets: Sequence[EncodedPacket]) -> None:
        for packet in packets:
            writer = self._writer
            is_next = writer is not None and packet.run is writer.run and packet.number == writer.last_number + 1
            if writer is not None and is_next and packet.is_keyframe and packet.seconds is not None:
                is_next = packet.seconds - writer.segment.first_seconds < SEGMENT_SECONDS
            if not is_next:
                if not packet.is_keyframe:
                    continue
                self._end_segment()
                self._writer = SegmentWriter(self._folder / f"{time.time_ns()}{SUFFIX}", packet.run)
                self._segments.append(self._writer.segment)
            assert self._writer is not None
            self._writer.write(packet)

    def _end_segment(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()

    def _from_seconds(self, recording: OpenRecording) -> float:
        return recording.event.start_seconds - self.options.before_seconds

    def _to_seconds(self, recording: OpenRecording) -> float:
        limit = self._from_seconds(recording) + self.options.max_seconds
        if recording.ended_at is None:
            return limit
        return min(limit, recording.event.end_seconds + self.options.after_seconds)

    def _is_complete(self, recording: OpenRecording) -> bool:
        waited = 0.0 if recording.ended_at is None else time.monotonic() - recording.ended_at
        if recording.is_doubtful and not self.is_over and waited < DOUBT_SECONDS:
            return False
        complete = self._complete_seconds
        if complete is not None and complete > self._to_seconds(recording):
            return True
        if recording.ended_at is None:
            return False
        return self.is_over or waited > self.options.after_seconds + PATIENCE_SECONDS

    def _finish(self, recording: OpenRecording, on_news: OnNews, *, keeps: bool = False) -> None:
        """Make the video and the picture. With `keeps`, the recording can go on after a restart."""
        event = recording.event
        if self._writer is not None:
            self._writer.flush()
        span = self._from_seconds(recording), self._to_seconds(recording)
        try:
            found = finish(self.options.folder, recording, self._segments, span, self._limits)
        except OSError:
            raise
        except Exception as error:  # one recording that fails must not end the others
            log.warning("the recording of event %s failed (%s)", event.id, error)
            found = None
        if found is not None:
            on_news(found)
        if keeps:
            return
        del self._open[event.id]
        if recording.ended_at is None:
            self._done.add(event.id)
        forget(self._folder, event.id)

    def _tidy(self) -> None:
        """Delete segments that no event needs."""
        if not self._open:
            self._end_segment()
            self._segments.clear()
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        begin = self._begin = min(self._from_seconds(recording) for recording in self._open.values())
        writing = self._writer.segment if self._writer is not None else None
        for segment in list(self._segments):
            if segment is not writing and (not segment.packets or segment.last_seconds < begin):
                self._segments.remove(segment)
                segment.path.unlink(missing_ok=True)


def from_key_frame(packets: Sequence[EncodedPacket], seconds: float) -> Sequence[EncodedPacket]:
    """Packets from the last key frame at or before a time on; from the first key frame if there is none."""
    keys = [place for place, packet in enumerate(packets) if packet.is_keyframe]
    early = [place for place in keys if (packets[place].seconds or 0.0) <= seconds]
    first = early[-1] if early else next(iter(keys), len(packets))
    return packets[first:]
