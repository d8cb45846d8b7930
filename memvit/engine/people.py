"""Finds the people of clips and who they are: boxes from a source, numbers from a tracker for each stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from memvit.boxes import BoxSource, PersonDetector
from memvit.boxes.changes import sources_of_boxes
from memvit.tracking import Tracker, TrackerSettings
from memvit.tracking.appearance import describe
from memvit.types import Clip, Image, PersonBoxes

TimedBoxes: TypeAlias = tuple[float, PersonBoxes]
"""(presentation time in seconds, boxes of the people in the frame of that time)"""
MIN_STEP_SECONDS = 1e-3
"""At a very low frame rate, two keyframes may be the same frame. A tracker gets the second one so much later."""
MIN_SCORE = 1e-3
"""The lowest threshold of a tracker, which must be positive."""


@dataclass(frozen=True, eq=False)
class Observation:
    """The boxes that were found in one frame of a clip."""

    pts_seconds: float
    boxes: PersonBoxes
    appearance: NDArray[np.float32] | None
    """(N, D) what each box looks like, as from `memvit.tracking.appearance`; None if there was no image of it."""
    is_keyframe: bool
    is_detected: bool = False
    """Whether a detector looked at this very frame, rather than at one that shows the same."""


@dataclass(frozen=True, eq=False)
class FoundPeople:
    """The people of one clip, and the state of their stream after it."""

    stream_id: str
    boxes: PersonBoxes
    """Those in the keyframe, with numbers."""
    trail: tuple[TimedBoxes, ...]
    """As in `Result`."""
    tracker: Tracker | None
    """None if the source of the boxes knows who is who."""
    detections: int = 0
    """In how many frames a detector looked for them."""


class PeopleFinder:
    """Finds the people of clips of any number of streams, at most one clip of each at a time.

    As in an engine, nothing changes until `commit`: after an error the same clips may be passed again.
    """

    def __init__(self, source: BoxSource) -> None:
        self.source = source
        self._settings = tracker_settings_for(source)
        self._trackers: dict[str, Tracker] = {}
        self._last: dict[str, TimedBoxes] = {}
        """The last frame of each stream in which people were looked for, if it has such frames between keyframes."""

    def find(self, clips: Sequence[Clip]) -> list[FoundPeople]:
        """The people of each clip, in the order given. Where a stream was followed up to a time, no frame is looked
        at that is not later."""
        observed = observe(self.source, [self._unseen(clip) for clip in clips])
        return [self._follow(clip, frames) for clip, frames in zip(clips, observed, strict=True)]

    def commit(self, found: Sequence[FoundPeople]) -> None:
        """Keep the state after these clips."""
        for people in found:
            if people.tracker is not None:
                self._trackers[people.stream_id] = people.tracker
            if people.trail:
                self._last[people.stream_id] = people.trail[-1]

    def forget(self, stream_id: str) -> None:
        """End a stream: later people of a stream of the same name are numbered from 1."""
        self._trackers.pop(stream_id, None)
        self._last.pop(stream_id, None)

    def state(self, stream_id: str) -> dict[str, Any] | None:
        """What is known of the people of a stream, as `Tracker.state_dict`; None if nobody was tracked."""
        tracker = self._trackers.get(stream_id)
        return None if tracker is None else tracker.state_dict()

    def restore(self, stream_id: str, state: dict[str, Any]) -> None:
        """Go on with the people of a stream. ValueError if this is not the state of a tracker."""
        self._trackers[stream_id] = Tracker.from_state_dict(state)

    def _unseen(self, clip: Clip) -> Clip:
        """The clip without the frames that its stream's tracker has seen, as when a file is read again from before."""
        tracker = self._trackers.get(clip.stream_id)
        if tracker is None:
            return clip
        later = tuple(frame for frame in clip.track_frames if frame.pts_seconds > tracker.pts_seconds)
        return replace(clip, track_frames=later)

    def _follow(self, clip: Clip, observed: Sequence[Observation]) -> FoundPeople:
        """Number the people of one clip."""
        known = self._trackers.get(clip.stream_id)
        tracker = known.copy() if known is not None else Tracker(self._settings)
        last = self._last.get(clip.stream_id)
        trail = [last] if last is not None else []
        keyframe: PersonBoxes | None = None
        for frame in observed:
            boxes = frame.boxes
            if boxes.persons is None:
                boxes = replace(boxes, persons=update_tracker(tracker, frame.pts_seconds, boxes, frame.appearance))
            trail.append((frame.pts_seconds, boxes))
            if frame.is_keyframe:
                keyframe = self._answered(boxes)
        assert keyframe is not None
        is_tracked = any(frame.boxes.persons is None for frame in observed)
        has_trail = len(observed) > 1 or last is not None
        return FoundPeople(
            clip.stream_id,
            keyframe,
            tuple(trail) if has_trail else (),
            tracker if is_tracked else None,
            sum(frame.is_detected for frame in observed),
        )

    def _answered(self, boxes: PersonBoxes) -> PersonBoxes:
        """The boxes whose actions are asked for."""
        if not isinstance(self.source, PersonDetector):
            return boxes
        return boxes.select(boxes.scores >= self.source.score_threshold)


def update_tracker(
    tracker: Tracker, pts_seconds: float, boxes: PersonBoxes, appearance: NDArray[np.float32] | None
) -> NDArray[np.int64]:
    """The numbers of the people in a frame. At a very low frame rate, it may be the frame that was seen last."""
    return tracker.update(max(pts_seconds, tracker.pts_seconds + MIN_STEP_SECONDS), boxes, appearance)


def tracker_settings_for(source: BoxSource) -> TrackerSettings:
    """The settings of a tracker of this source's boxes: those that are no people by themselves only continue people."""
    threshold = max(source.score_threshold, MIN_SCORE) if isinstance(source, PersonDetector) else MIN_SCORE
    return replace(TrackerSettings(), low_score=threshold)


def observe(source: BoxSource, clips: Sequence[Clip]) -> list[list[Observation]]:
    """The boxes in the frames of each clip, times ascending: in its keyframe, and in its track frames for a detector.

    A detector looks at the frames of all clips together, except those in which nothing has moved.
    """
    if not isinstance(source, PersonDetector):
        given = zip(clips, source.boxes(clips), strict=True)
        return [[Observation(clip.centre_seconds, boxes, _appearance(clip, boxes), True)] for clip, boxes in given]
    frames = [_frames(clip) for clip in clips]
    sources = [
        sources_of_boxes([image for _, image, _ in of_clip], [is_key for _, _, is_key in of_clip].index(True))
        for of_clip in frames
    ]
    new = [(clip, place) for clip, of_clip in enumerate(sources) for place in sorted(set(of_clip))]
    boxes = dict(zip(new, source.detect([frames[clip][place][1] for clip, place in new]), strict=True))
    return [
        [
            Observation(seconds, found := boxes[clip, source], describe(image, found.xyxy), is_key, source == place)
            for place, (source, (seconds, image, is_key)) in enumerate(zip(of_clip, frames[clip], strict=True))
        ]
        for clip, of_clip in enumerate(sources)
    ]


def _frames(clip: Clip) -> list[tuple[float, Image, bool]]:
    """(presentation time in seconds, image, whether it is the keyframe), times ascending."""
    if clip.centre_image is None:
        raise ValueError("a detector needs clips with their centre image")
    seconds = clip.centre_seconds if clip.centre_image_seconds is None else clip.centre_image_seconds
    frames = [(frame.pts_seconds, frame.image, False) for frame in clip.track_frames]
    return sorted([*frames, (seconds, clip.centre_image, True)], key=lambda frame: frame[0])


def _appearance(clip: Clip, boxes: PersonBoxes) -> NDArray[np.float32] | None:
    """What the people of given boxes look like in the middle frame for the model; None if that is only a part."""
    if boxes.persons is not None or clip.source_size is None:
        return None
    return describe(clip.frames[len(clip.frames) // 2], boxes.xyxy)
