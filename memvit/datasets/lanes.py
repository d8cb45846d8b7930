"""Lanes: how sequential training and testing walk through videos.

Each element of a batch is a lane that reads one video after another, keyframe by keyframe, decoding forward. A lane's
memory ends with its video. Which lane reads what in an epoch follows from the seed and the epoch alone, so a run can
begin anywhere: step k is the k-th keyframe of every lane.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from memvit.datasets.ava import AvaVideo, Footage, Keyframe
from memvit.types import Clip, MemvitError
from memvit.video.clips.sampler import TRAINED_FRAMES_PER_SECOND, ClipSampler

LEAD_SECONDS = 1.0
"""Decoding begins this long before the first frame that a clip needs."""
QUEUE_CLIPS = 2


@dataclass(frozen=True, eq=False)
class LaneStep:
    """One keyframe of a lane."""

    video: str
    keyframe: Keyframe
    clip: Clip
    """`clip.index` counts the keyframes of the video: 0 begins a new memory."""


@dataclass(frozen=True)
class LaneVideo:
    """A video, or the rest of one, in a lane."""

    video: AvaVideo
    first: int = 0
    """The keyframe to begin with."""

    def __len__(self) -> int:
        return len(self.video.keyframes) - self.first


def assign_lanes(videos: Sequence[AvaVideo], lanes: int, *, seed: int | None, epoch: int = 0) -> list[list[LaneVideo]]:
    """Videos → lanes of about equal length, every video once; in an order of this epoch's own, or as given without a
    seed. Each goes to the lane that is shortest so far."""
    order = np.arange(len(videos)) if seed is None else np.random.default_rng((seed, epoch)).permutation(len(videos))
    plan: list[list[LaneVideo]] = [[] for _ in range(lanes)]
    lengths = [0] * lanes
    for place in order:
        lane = lengths.index(min(lengths))
        plan[lane].append(LaneVideo(videos[place]))
        lengths[lane] += len(videos[place].keyframes)
    return plan


def lane_length(lane: Sequence[LaneVideo]) -> int:
    """Keyframes of a lane."""
    return sum(len(part) for part in lane)


def skip_steps(lane: Sequence[LaneVideo], step: int) -> list[LaneVideo]:
    """The lane without its first `step` keyframes."""
    rest: list[LaneVideo] = []
    for part in lane:
        if step < len(part):
            rest.append(LaneVideo(part.video, part.first + step) if step else part)
        step = max(step - len(part), 0)
    return rest


def read_lane(
    lane: Sequence[LaneVideo],
    footage: Footage,
    sampler: Callable[[AvaVideo], ClipSampler],
    hop_seconds: float,
    span_seconds: float,
) -> Iterator[LaneStep]:
    """The clips of a lane's keyframes, in order.

    A video that ends before its last keyframes gives its last clip for those. MemvitError if one cannot be read.
    """
    for part in lane:
        wanted = list(part.video.keyframes[part.first :])
        start = wanted[0].second - span_seconds / 2 - LEAD_SECONDS
        last: Clip | None = None
        place = 0
        with footage.open(part.video.name, from_seconds=max(start, 0.0)) as source:
            for clip in sampler(part.video).clips(source):
                last = clip
                if round(clip.centre_seconds / hop_seconds) == round(wanted[place].second / hop_seconds):
                    yield LaneStep(part.video.name, wanted[place], replace(clip, index=part.first + place))
                    place += 1
                    if place == len(wanted):
                        break
                elif clip.centre_seconds > wanted[place].second:
                    raise MemvitError(
                        f"{part.video.name}: there are no frames at its keyframe {wanted[place].second}; the video has "
                        f"a gap there, or begins at {clip.centre_seconds:g} s"
                    )
        if last is None:
            raise MemvitError(f"{part.video.name}: there are no frames from {start:g} s on; is it the right video?")
        for keyframe in wanted[place:]:
            yield LaneStep(part.video.name, keyframe, replace(last, index=part.first + place))
            place += 1


class LaneThread:
    """Reads a lane in a thread, a few clips ahead."""

    def __init__(self, steps: Iterator[LaneStep], name: str) -> None:
        self._steps = steps
        self._queue: queue.Queue[LaneStep | Exception | None] = queue.Queue(QUEUE_CLIPS)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, name=name, daemon=True)
        self._thread.start()

    def next(self) -> LaneStep | None:
        """The next step, or None at the lane's end; what went wrong in the thread is raised here."""
        item = self._queue.get()
        if isinstance(item, Exception):
            raise item
        return item

    def stop(self) -> None:
        """End the thread after the clip at hand."""
        self._stopping.set()

    def _read(self) -> None:
        try:
            for step in self._steps:
                if not self._put(step):
                    return
            self._put(None)
        except Exception as error:  # raised again where the lane is read
            self._put(error)

    def _put(self, item: LaneStep | Exception | None) -> bool:
        while not self._stopping.is_set():
            try:
                self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False


def iterate_lanes(lanes: Sequence[Iterator[LaneStep]]) -> Iterator[list[LaneStep | None]]:
    """The next step of every lane, side by side, until all have ended; None for one that has."""
    threads = [LaneThread(steps, f"lane {place}") for place, steps in enumerate(lanes)]
    ended = [False] * len(threads)
    try:
        while True:
            steps = [None if over else thread.next() for thread, over in zip(threads, ended, strict=True)]
            ended = [step is None for step in steps]
            if all(ended):
                return
            yield steps
    finally:
        for thread in threads:
            thread.stop()


def span_seconds(num_frames: int, frame_interval: int) -> float:
    """What a clip covers."""
    return num_frames * frame_interval / TRAINED_FRAMES_PER_SECOND
