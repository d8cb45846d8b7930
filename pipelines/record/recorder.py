"""Records events in a thread of its own, so that a slow or full disk holds up neither reading nor the model."""

from __future__ import annotations

import errno
import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from memvit.events.event import Event
from memvit.events.rules import Rules
from memvit.streams.group import StreamEnded, StreamFailed
from memvit.streams.watcher import ClipResult, StreamEvent
from memvit.types import Clip, Image
from memvit.video.limits import DEFAULT_LIMITS, VideoLimits
from memvit.video.packets import PacketRing

from .options import RecordOptions
from .recording import RecorderStatus, Recording
from .store import UNFINISHED
from .stream import StreamRecording

log = logging.getLogger("memvit.record")
STEP_SECONDS = 0.25
ROOM_SECONDS = 2.0
"""How often it is checked whether the disk has room."""
CLOSE_SECONDS = 20.0
"""Recordings that are not finished so long after the end are finished at the next start."""
PROBE_BYTES = 65536
"""Written to find out whether the disk takes something again."""
MAX_WAITING = 20_000
"""Bound of what waits for the thread while the disk is slow; the oldest is forgotten."""
MARGIN_SECONDS = 10.0
"""Packets are held for so much longer than the rules ask for: clips are answered late where there is much to do."""
News: TypeAlias = Recording | RecorderStatus
Told: TypeAlias = StreamEvent | Event


class Recorder:
    """The recordings of many streams. The methods may be called from any thread and never wait for the disk."""

    def __init__(
        self,
        options: RecordOptions,
        on_news: Callable[[News], None],
        *,
        rules: Rules,
        hop_seconds: float,
        limits: VideoLimits = DEFAULT_LIMITS,
        replaces: bool = False,
    ) -> None:
        """`on_news` is called by the thread of the recorder. `replaces`: an event that has a recording already is
        recorded again; a server that goes on after a restart tells events that it has told before.
        """
        self._options, self._limits, self._replaces = options, limits, replaces
        self._hop_seconds = hop_seconds
        self._on_news = on_news
        self._buffer_seconds = buffer_seconds(options, rules, hop_seconds)
        self._rings: dict[str, PacketRing] = {}
        self._streams: dict[str, StreamRecording] = {}
        self._calls: deque[Callable[[], None]] = deque(maxlen=MAX_WAITING)
        self._woken = threading.Event()
        self._closing_at: float | None = None
        self._stopped_reason: str | None = None
        self._checked_at = 0.0
        self._thread = threading.Thread(target=self._run, name="record", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def held_seconds(self) -> float:
        """How long packets are held. A file that is read again after a restart must be read from so much earlier."""
        return self._buffer_seconds

    def add(self, stream_id: str, open_ids: Collection[str] = (), *, goes_on: bool = False) -> PacketRing:
        """Where the packets of a stream that begins are to go. `open_ids`: its events that go on after a restart.
        `goes_on`: it goes on with the times of an earlier run.
        """
        ring = self._rings[stream_id] = PacketRing(self._buffer_seconds, self._options.buffer_bytes)
        self._call(partial(self._add, stream_id, ring, tuple(open_ids), goes_on=goes_on))
        return ring

    def remove(self, stream_id: str) -> None:
        """A stream is not watched any more; its events have ended."""
        self._rings.pop(stream_id, None)
        self._call(partial(self._end, stream_id, is_removed=True))

    def tell(self, told: Iterable[Told]) -> None:
        """What has happened, each result before the events that follow from it."""
        clips: dict[str, Clip] = {}
        for one in told:
            if isinstance(one, ClipResult):
                clips[one.stream_id] = one.clip
                self._call(partial(self._answered, one.stream_id, one.clip.centre_seconds))
            elif isinstance(one, Event):
                clip = clips.get(one.stream_id)
                is_best = clip is not None and one.state != "end" and clip.centre_seconds == one.peak_seconds
                self._call(partial(self._tell, one, picture_of(clip) if clip is not None and is_best else None))
            elif isinstance(one, StreamEnded | StreamFailed):
                self._call(partial(self._end, one.stream_id))

    def change(self, options: RecordOptions, rules: Rules) -> None:
        """Other lengths and rules; the folder stays."""
        self._options = options
        self._buffer_seconds = buffer_seconds(options, rules, self._hop_seconds)
        for ring in list(self._rings.values()):
            ring.max_seconds, ring.max_bytes = self._buffer_seconds, options.buffer_bytes
        self._call(partial(self._change, options))

    def close(self) -> None:
        """Finish what is open, as it is now, and end the thread. It waits for a slow disk, but not for long."""
        self._closing_at = time.monotonic()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout=CLOSE_SECONDS)

    def _call(self, call: Callable[[], None]) -> None:
        self._calls.append(call)
        self._woken.set()

    # The thread of the recorder calls what follows.

    def _run(self) -> None:
        while True:
            is_last = self._closing_at is not None
            self._woken.wait(STEP_SECONDS)
            self._woken.clear()
            self._guarded(self._run_calls)
            if not is_last:
                self._guarded(self._step)
                continue
            for stream in list(self._streams.values()):
                self._guarded(partial(stream.close, self._on_news))
            return

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            call()
        except OSError as error:
            self._stop(error)
        except Exception as error:  # the thread must go on with the other streams
            log.warning("an event could not be recorded (%r)", error)

    def _run_calls(self) -> None:
        while self._calls:
            self._calls.popleft()()

    def _step(self) -> None:
        busy = [stream for stream in self._streams.values() if not stream.is_idle]
        if busy or self._stopped_reason is not None:
            self._check_room()
        for stream in busy:
            stream.write()
        for stream in busy:
            if stream.finish_one(self._on_news):
                # The others come first the next time, which is at once: packets must be written in time.
                self._streams[stream.stream_id] = self._streams.pop(stream.stream_id)
                self._woken.set()
                return

    def _check_room(self) -> None:
        """OSError if there is too little room; while nothing is recorded, find out whether there is some again."""
        now = time.monotonic()
        if now - self._checked_at < ROOM_SECONDS:
            return
        self._checked_at = now
        free = shutil.disk_usage(self._options.folder).free
        if free < self._options.min_free_bytes:
            raise OSError(errno.ENOSPC, f"less than {self._options.min_free_bytes / 1e6:.0f} MB are free")
        if self._stopped_reason is not None:
            probe = self._options.folder / UNFINISHED / "probe"
            probe.write_bytes(bytes(PROBE_BYTES))
            probe.unlink()
            self._stopped_reason = None
            log.warning("events are recorded again: %s has room", self._options.folder)
            self._on_news(RecorderStatus("", None))

    def _stop(self, error: OSError) -> None:
        """Nothing can be recorded for now: say so once, and give the room back that unfinished recordings take."""
        for stream in self._streams.values():
            stream.abandon()
        if self._stopped_reason is None:
            reason = error.strerror or str(error)
            self._stopped_reason = f"{self._options.folder}: events cannot be recorded there ({reason}); make room"
            log.warning("%s; streams and alerts go on", self._stopped_reason)
            self._on_news(RecorderStatus("", self._stopped_reason))

    def _add(self, stream_id: str, ring: PacketRing, open_ids: Sequence[str], *, goes_on: bool) -> None:
        made = StreamRecording(stream_id, self._options, self._limits, ring, replaces=self._replaces)
        self._streams[stream_id] = made
        made.adopt(open_ids, self._on_news, goes_on=goes_on)

    def _answered(self, stream_id: str, seconds: float) -> None:
        if (stream := self._streams.get(stream_id)) is not None:
            stream.answered(seconds)

    def _tell(self, event: Event, image: Image | None) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None and self._stopped_reason is None:
            stream.tell(event, image)

    def _end(self, stream_id: str, *, is_removed: bool = False) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        stream.is_over = True
        if is_removed:
            stream.close(self._on_news)
            del self._streams[stream_id]

    def _change(self, options: RecordOptions) -> None:
        for stream in self._streams.values():
            stream.options = options


def buffer_seconds(options: RecordOptions, rules: Rules, hop_seconds: float) -> float:
    """How long packets must be held, so that an event that is told late can be shown from its beginning."""
    longest = max((max(rule.min_seconds, rule.dwell_seconds) for rule in rules.rules), default=0.0)
    wanted = options.before_seconds + longest + 2 * hop_seconds + MARGIN_SECONDS
    return min(wanted, options.buffer_seconds)


def picture_of(clip: Clip) -> Image | None:
    """The largest image of a clip near its centre that shows the whole frame; None if there is none."""
    if clip.preview:
        return min(clip.preview, key=lambda frame: abs(frame.pts_seconds - clip.centre_seconds)).image
    if clip.centre_image is not None:
        return clip.centre_image
    if clip.source_size is None or not len(clip.frames):
        return None
    image: Image = clip.frames[len(clip.frames) // 2]
    return image


def finish_leftovers(
    options: RecordOptions, known: Collection[str], on_news: Callable[[News], None], limits: VideoLimits
) -> None:
    """Finish what an earlier run has left of streams that are not watched any more. It may take its time."""
    for folder in unfinished_streams(options.folder):
        if folder.name in known:
            continue
        stream = StreamRecording(folder.name, options, limits, PacketRing(0.0, 0), replaces=True)
        try:
            stream.adopt((), on_news)
        except OSError as error:
            log.warning("recordings of %s could not be finished (%s)", folder.name, error)


def unfinished_streams(folder: Path) -> list[Path]:
    """The folders of streams with recordings that are not finished."""
    return sorted(path for path in (folder / UNFINISHED).iterdir() if path.is_dir())
