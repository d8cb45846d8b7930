"""Streams whose packets are recorded, and events of theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvit.events.event import Event, EventState
from memvit.types import Image
from memvit.video.limits import DEFAULT_LIMITS
from memvit.video.packets import PacketRing
from memvit.video.sources.open import open_source
from pipelines.record.options import RecordOptions
from pipelines.record.recording import Recording
from pipelines.record.store import UNFINISHED
from pipelines.record.stream import StreamRecording
from tests.video import make

RATE = 10


def told(start: float, end: float, state: EventState = "new", *, number: int = 1, peak: float | None = None) -> Event:
    return Event(
        f"{number:016x}", "waving", "cam", 3, "hand wave", state, start, end, 1_777_000_000.0 + start, None,
        0.9, 0.8, None, 1, start if peak is None else peak, (0.25, 0.25, 0.75, 0.75),
    )  # fmt: skip


def images(seconds: float, width: int = 96, height: int = 64) -> list[NDArray[np.uint8]]:
    return make.busy(round(seconds * RATE), width, height)


def feed(ring: PacketRing, path: Path, offset_seconds: float = 0.0) -> list[tuple[float, Image]]:
    """Read a video as a stream that begins at `offset_seconds`; the times and pictures of its frames."""
    shown = []
    with open_source(path, packets=ring, decoder_threads=1) as source:
        for frame in source:
            seconds = frame.pts_seconds + offset_seconds
            ring.place(frame.container_seconds, seconds)
            shown.append((seconds, frame.rgb()))
    return shown


class Recorded:
    """The recordings of one stream, without a thread."""

    def __init__(self, folder: Path, *, replaces: bool = False, **options: float) -> None:
        values = {"before_seconds": 1.0, "after_seconds": 1.0, **options}
        self.options = RecordOptions(folder, **values)  # type: ignore[arg-type]
        (folder / UNFINISHED).mkdir(parents=True, exist_ok=True)
        self.ring = PacketRing(100.0, 10**8)
        self.news: list[Recording] = []
        self.stream = StreamRecording("cam", self.options, DEFAULT_LIMITS, self.ring, replaces=replaces)

    def tell(self, event: Event, image: Image | None = None) -> None:
        self.stream.tell(event, image)
        self.step()

    def step(self) -> None:
        self.stream.write()
        while self.stream.finish_one(self.news.append):
            pass

    def over(self) -> None:
        self.stream.is_over = True
        self.step()

    def file(self, number: int = 1, suffix: str = ".mp4") -> Path:
        (found,) = self.options.folder.glob(f"????-??-??/{number:016x}{suffix}")
        return found

    @property
    def unfinished(self) -> list[Path]:
        return sorted(path for path in (self.options.folder / UNFINISHED).rglob("*") if path.is_file())
