"""Lanes: the order in which sequential training and testing read videos.

Each element of a batch is a lane that reads one video after another, keyframe by keyframe, decoding forward. A lane's
memory ends with its video. Which lane reads which videos in an epoch follows from the seed and the epoch alone, so a
run can resume at any step: step k is the k-th keyframe of every lane.
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
"""Decoding starts this long before the first frame that a clip needs."""
QUEUE_CLIPS = 2
"""Clips that a lane's thread decodes ahead."""


@dataclass(frozen=True, eq=False)
class LaneStep:
    """One keyframe of a lane."""

    video: str
    keyframe: Keyframe
    clip: Clip
    """The clip around the keyframe. `clip.index` counts the video's keyframes from 0, where its memory is empty."""


@dataclass(frozen=True)
class LaneVideo:
    """A video, or the rest of one, in a lane."""

    video: AvaVideo
    first: int = 0
    """Number of the keyframe to begin with."""

    def __len__(self) -> int:
        return len(self.video.keyframes) - self.first


def assign_lanes(videos: Sequence[AvaVideo], lanes: int, *, seed: int | None, epoch: int = 0) -> list[list[LaneVideo]]:
    """Videos → lanes of about equal length, each video once.

    The order of the videos follows from the seed and the epoch; without a seed it is the given order. Each video goes
    to the lane that is shortest so far.
    """
    order = np.arange(len(videos)) if seed is None else np.random.default_rng((seed, epoch)).permutation(len(videos))
    plan: list[list[LaneVideo]] = [[] for _ in range(lanes)]
    lengths = [0] * lanes
    for place in order:
        lane = lengths.index(min(lengths))
        plan[lane].append(LaneVideo(videos[place]))
        lengths[lane] += len(videos[place].keyframes)
    return plan


def lane_length(lane: Sequence[LaneVideo]) -> int:
    """Number of keyframes of a lane."""
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

    A video that ends before its last keyframes repeats its last clip for them. MemvitError if one cannot be read.
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
    """Reads a lane in a thread, a few clips ahead of its consumer."""

    def __init__(self, steps: Iterator[LaneStep], name: str) -> None:
        self._steps = steps
        self._queue: queue.Queue[LaneStep | Exception | None] = queue.Queue(QUEUE_CLIPS)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, name=name, daemon=True)
        self._thread.start()

    def next(self) -> LaneStep | None:
        """The next step, or None at the lane's end. An error of the thread is raised here."""
        item = self._queue.get()
        if isinstance(item, Exception):
            raise item
        return item

    def stop(self) -> None:
        """Let the thread end after the clip that it is reading."""
        self._stopping.set()

    def join(self) -> None:
        """Wait for a thread that was stopped: one that still computes when Python ends makes the process abort."""
        self._thread.join()

    def _read(self) -> None:
        try:
            for step in self._steps:
                if not self._put(step):
                    return
            self._put(None)
        except Exception as error:  # `next` raises it in the consumer's thread
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
    """Yields the next step of every lane, in parallel, until all lanes have ended; None for a lane that has."""
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
        for thread in threads:
            thread.join()


def span_seconds(num_frames: int, frame_interval: int) -> float:
    """Duration in seconds that a clip covers."""
    return num_frames * frame_interval / TRAINED_FRAMES_PER_SECOND
