"""Cuts frames into clips by presentation time, so that any frame rate gives the spacing a model was trained on."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from memvit.types import Clip, DetectionSize, PreviewFrame
from memvit.video.clips.open_clip import OpenClip, SharedFrame
from memvit.video.clips.track_frames import TrackFramePicker
from memvit.video.limits import DEFAULT_LIMITS, VideoLimits
from memvit.video.sources.source import SAME_SECONDS, Frame

if TYPE_CHECKING:
    from memvit.models import Preprocessing

TRAINED_FRAMES_PER_SECOND = 30.0
"""Rate of the videos that models were trained on; `frame_interval` counts frames at this rate."""
START_TOLERANCE_SECONDS = 0.1
"""A first frame that comes at most this long after a multiple of the hop still begins with the clip at that multiple,
because a codec may delay the first frame a little."""


class ClipSampler:
    """Cuts one stream into clips, one every `hop_seconds`, in bounded memory and with every frame converted once.

    Clip centres are the multiples of the hop from the first frame's time on, up to the last frame's. The T instants of
    a clip are `centre + (i * frame_interval - T * frame_interval // 2) / 30` seconds. Each takes the frame nearest in
    time, the earlier of two equally near ones, and the first or last frame before the stream begins or after it ends.
    At 30 fps these are the frames of `range(c - half, c + half, frame_interval)` clamped to the video. Even the
    shortest stream gives one clip.

    After a drop-out, clips are left out (and counted in `skipped`) if no frame lies within half a hop of their centre
    and the drop-out is longer than a clip.

    The first frame decides the size of the images. If the resolution changes later, later frames are resized to that
    size, whatever their aspect ratio.
    """

    def __init__(
        self,
        stream_id: str,
        *,
        num_frames: int,
        frame_interval: int,
        hop_seconds: float,
        short_side: int = 224,
        crop: Literal["none", "center"] = "none",
        detection_size: DetectionSize | None = None,
        track_frames_per_second: float = 0.0,
        preview_width: int | None = None,
        preview_frames_per_second: float | None = None,
        perturb: Callable[[int], Sequence[float]] | None = None,
        limits: VideoLimits = DEFAULT_LIMITS,
    ) -> None:
        """Describe the clips to cut.

        Args:
            stream_id: The name of the stream, which every clip carries.
            num_frames: T, the number of frames of a clip.
            frame_interval: Distance between these frames, counted in frames of a 30 fps video.
            hop_seconds: Distance between clip centres.
            short_side: Pixels of the shorter side of the images; the other keeps the aspect ratio, rounded down.
            crop: `"none"` keeps the whole frame, `"center"` cuts out the central square.
            detection_size: Add the frame nearest the centre, not larger than this, for a detector of people.
            track_frames_per_second: Add also the frames at this rate before and after the centre, each to the clip
                whose centre is nearest, or to the next one if that clip has been returned before. 0 adds none.
            preview_width: Add to each clip all frames that are nearest to its centre, resized to this even width as in
                `preview_size`. A clip is then returned later: when it is known which frames belong to the next one.
                Set `shows_preview` to turn this off and on again.
            preview_frames_per_second: The highest rate of these frames.
            perturb: The clip's number (its centre in hops) → by how many seconds each of its T instants is moved, at
                most half their distance. This is augmentation for training.
            limits: A stream whose clips have more tokens is refused with a SourceError.

        Raises:
            ValueError: a number is not positive, the preview width is odd, the crop is unknown, or frames for tracking
                are wanted without their size.
        """
        if min(num_frames, frame_interval, hop_seconds, short_side) <= 0:
            raise ValueError(
                "num_frames, frame_interval, hop_seconds and short_side must be positive, "
                f"got {num_frames}, {frame_interval}, {hop_seconds}, {short_side}"
            )
        if crop not in ("none", "center"):
            raise ValueError(f"crop must be 'none' or 'center', got {crop!r}")
        if preview_width is not None and (preview_width < 2 or preview_width % 2):
            raise ValueError(f"preview_width must be even and at least 2, got {preview_width}")
        if track_frames_per_second < 0 or (track_frames_per_second and detection_size is None):
            raise ValueError(f"track_frames_per_second {track_frames_per_second:g} needs a detection_size")
        self.stream_id, self.skipped = stream_id, 0
        self._perturb, self._limits = perturb, limits
        self.hop_seconds, self._short_side, self._crop = hop_seconds, short_side, crop
        self._detection_size, self._preview_width = detection_size, preview_width
        self._track = TrackFramePicker(hop_seconds, track_frames_per_second) if track_frames_per_second else None
        self.shows_preview = preview_width is not None
        self._preview_step_seconds = 1 / preview_frames_per_second if preview_frames_per_second else 0.0
        self._next_preview_seconds = -math.inf
        half = num_frames * frame_interval // 2
        self._offsets_seconds = [(i * frame_interval - half) / TRAINED_FRAMES_PER_SECOND for i in range(num_frames)]
        self._span_seconds = num_frames * frame_interval / TRAINED_FRAMES_PER_SECOND
        reach = -self._offsets_seconds[0] + (frame_interval / 2 / TRAINED_FRAMES_PER_SECOND if perturb else 0)
        self.lead_seconds = max(reach, hop_seconds / 2)
        """A clip is the same whether the stream began earlier, or exactly this many seconds before the centre."""
        self.size: tuple[int, int] | None = None
        """(width, height) in pixels of the images before any crop; None until the first frame has come."""
        self._open: deque[OpenClip] = deque()
        self._previous: SharedFrame | None = None
        self._first_number = self._next_number = 0
        self._emitted = 0
        self._is_finished = False

    @staticmethod
    def for_model(stream_id: str, preprocessing: Preprocessing, *, hop_seconds: float, **more: Any) -> ClipSampler:
        """A sampler of the clips that a model was trained on; `more` are further arguments of the class."""
        return ClipSampler(stream_id, **sampling_for(preprocessing, hop_seconds), **more)

    def clips(self, frames: Iterable[Frame]) -> Iterator[Clip]:
        """All clips of a stream, each as soon as its last frame is read."""
        for frame in frames:
            yield from self.push(frame)
        yield from self.finish()

    def push(self, frame: Frame) -> list[Clip]:
        """Add the next frame and return the clips it completes. ValueError if its time is not later than the last."""
        if self._is_finished:
            raise ValueError(f"{self.stream_id}: the stream was finished; a new one needs a new sampler")
        pts_seconds = frame.pts_seconds
        if self._previous is None:
            self._start(frame)
        elif pts_seconds <= self._previous.pts_seconds:
            raise ValueError(f"frame times must increase: {pts_seconds} s follows {self._previous.pts_seconds} s")
        else:
            self._skip_gap(self._previous.pts_seconds, pts_seconds)
        while self._centre(self._next_number) - self.lead_seconds <= pts_seconds + 2 * SAME_SECONDS:
            self._open_next()
        current = SharedFrame(frame, self._size, self._crop, self._detector_size)
        for clip in self._open:
            clip.take(self._previous, current, pts_seconds)
        if self._track is not None:
            self._track.take(self._previous, current)
        self._keep_preview(frame)
        self._previous = current
        completed = []
        while self._open and self._is_complete(self._open[0], pts_seconds):
            completed.append(self._emit(self._open.popleft()))
        return completed

    def finish(self) -> list[Clip]:
        """End the stream and return the clips that waited for more frames, padded with the last frame."""
        self._is_finished = True
        last = self._previous
        if last is None:
            return []
        waiting = [clip for clip in self._open if clip.centre_seconds <= last.pts_seconds + SAME_SECONDS]
        if not waiting and not self._emitted:
            waiting = [self._open[0]]
        for clip in self._open:
            if waiting and clip.number > waiting[-1].number:
                waiting[-1].preview.extend(clip.preview)
        for clip in waiting:
            clip.take(last, last, math.inf)
        self._open.clear()
        self._previous = None
        return [self._emit(clip, is_last=clip is waiting[-1]) for clip in waiting]

    def size_of(self, frame: Frame) -> tuple[int, int]:
        """The `size` that the images would have if this frame were the first, (width, height) in pixels."""
        return short_side_size(frame.width, frame.height, self._short_side)

    @property
    def held_images(self) -> int:
        """Number of distinct images held for incomplete clips: the clip's span bounds it, not the stream's length."""
        return len({id(image) for clip in self._open for image in clip.images})

    def _start(self, frame: Frame) -> None:
        size = self.size_of(frame)
        side = min(size)
        clip_size = size if self._crop == "none" else (side, side)
        self._limits.check_clip(self.stream_id, len(self._offsets_seconds), *clip_size)
        self._size = self.size = size
        self._source_size = (frame.width, frame.height)
        self._detector_size = self._detection_size.of(frame.width, frame.height) if self._detection_size else None
        if self._preview_width is not None:
            self._preview_size = preview_size(frame.width, frame.height, self._preview_width)
        tolerance = min(START_TOLERANCE_SECONDS, self.hop_seconds / 4)
        self._first_number = self._next_number = math.ceil((frame.pts_seconds - tolerance) / self.hop_seconds)
        self._open_next()

    def _centre(self, number: int) -> float:
        return number * self.hop_seconds

    def _number_at(self, pts_seconds: float) -> int:
        """The number of the clip in whose hop window, [centre - hop/2, centre + hop/2), a time lies."""
        return max(self._first_number, math.floor((pts_seconds + SAME_SECONDS) / self.hop_seconds + 0.5))

    def _open_next(self) -> None:
        centre = self._centre(self._next_number)
        instants = [centre + offset for offset in self._offsets_seconds]
        if self._perturb is not None:
            moves = self._perturb(self._next_number)
            instants = [instant + move for instant, move in zip(instants, moves, strict=True)]
        self._open.append(OpenClip(self._next_number, centre, instants, self._detection_size is not None))
        self._next_number += 1

    def _skip_gap(self, before_seconds: float, after_seconds: float) -> None:
        """Leave out the clips whose whole hop window lies in a drop-out, if that is longer than a clip."""
        if after_seconds - before_seconds <= self._span_seconds:
            return
        first, stop = self._number_at(before_seconds) + 1, self._number_at(after_seconds)
        if stop <= first:
            return
        self.skipped += stop - first
        self._open = deque(clip for clip in self._open if not first <= clip.number < stop)
        self._next_number = max(self._next_number, stop)

    def _keep_preview(self, frame: Frame) -> None:
        if self._preview_width is None or not self.shows_preview or frame.pts_seconds < self._next_preview_seconds:
            return
        self._next_preview_seconds = frame.pts_seconds + self._preview_step_seconds - SAME_SECONDS
        number = self._number_at(frame.pts_seconds)
        clip = next((clip for clip in self._open if clip.number == number), None)
        if clip is not None:  # there is none if the clip was returned before the preview was turned on
            clip.preview.append(PreviewFrame(frame.pts_seconds, frame.rgb(*self._preview_size)))

    def _is_complete(self, clip: OpenClip, pts_seconds: float) -> bool:
        if not clip.is_decided:
            return False
        if not self.shows_preview:
            return True
        # Until it is certain that there is a next clip, frames after this clip's window may still belong to this clip.
        following = self._open[1].number if len(self._open) > 1 else self._next_number
        return pts_seconds + SAME_SECONDS >= self._centre(following)

    def _emit(self, clip: OpenClip, *, is_last: bool = False) -> Clip:
        self._emitted += 1
        window_end = math.inf if is_last else clip.centre_seconds + self.hop_seconds / 2 - SAME_SECONDS
        return Clip(
            stream_id=self.stream_id,
            index=self._emitted - 1,
            centre_seconds=clip.centre_seconds,
            start_seconds=clip.times_seconds[0],
            end_seconds=clip.times_seconds[-1],
            frames=np.stack(clip.images),
            source_size=self._source_size if self._crop == "none" else None,
            centre_image=clip.centre_image,
            centre_image_seconds=clip.centre_image_seconds,
            track_frames=self._track.give(window_end, clip.centre_image_seconds) if self._track else (),
            preview=tuple(clip.preview),
        )


def sampling_for(preprocessing: Preprocessing, hop_seconds: float) -> dict[str, Any]:
    """Arguments of `ClipSampler` that cut the clips a model was trained on."""
    return {
        "num_frames": preprocessing.num_frames,
        "frame_interval": preprocessing.frame_interval,
        "hop_seconds": hop_seconds,
        "short_side": preprocessing.short_side,
        "crop": preprocessing.crop,
    }


def short_side_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """(width, height) with the shorter side at `short_side` pixels and the other rounded down."""
    if width < height:
        return short_side, math.floor(height / width * short_side)
    return math.floor(width / height * short_side), short_side


def preview_size(width: int, height: int, preview_width: int) -> tuple[int, int]:
    """(width, height) of preview frames, both even, from those of the source.

    They are `preview_width` wide, so that text on a small picture is legible. A picture that is higher than twice that
    is not enlarged further.
    """
    wanted = min(float(preview_width), max(width, 2 * preview_width * width / height))
    even_width = max(2, int(wanted) // 2 * 2)
    return even_width, max(2, 2 * round(even_width * height / width / 2))
