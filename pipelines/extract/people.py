"""Numbers the people of a video clip after clip, for memory in slots, which needs to know who did what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memvit.engine.engine import Engine
from memvit.engine.people import update_tracker
from memvit.store.sightings import LookedAt
from memvit.tracking import Tracker, TrackerSettings
from memvit.types import PersonBoxes


class ClipPeople:
    """The people of one video while it is processed.

    The archive numbers people again when a video is complete, from the same boxes and appearance as they are stored. So
    within a session both numberings agree but for what is added to later sessions, and memory does not outlive those.
    """

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self._tracker = Tracker(settings)

    def begin_session(self) -> None:
        """Know nobody any more."""
        self._tracker = Tracker(self._settings)

    def state(self) -> dict[str, Any]:
        """Who is known, for `restore`."""
        return self._tracker.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where a state was taken. ValueError if it is not the state of a tracker."""
        self._tracker = Tracker.from_state_dict(state)

    def numbered(
        self,
        centre_seconds: float,
        boxes: PersonBoxes,
        appearance: NDArray[np.float32] | None,
        looked_at: Sequence[LookedAt] = (),
    ) -> PersonBoxes:
        """The boxes of the next clip with the numbers of their people.

        `looked_at` are the frames in which people were looked for, the keyframe among them, if that was done more often
        than once. Then `boxes` are the detections of the keyframe.
        """
        if not looked_at:
            return replace(boxes, persons=self._update(centre_seconds, boxes, appearance))
        persons = [self._update(frame.pts_seconds, frame.boxes, frame.appearance) for frame in looked_at]
        chosen = [numbers[frame.is_detection] for numbers, frame in zip(persons, looked_at, strict=True)]
        return replace(boxes, persons=np.concatenate(chosen))

    def _update(self, seconds: float, boxes: PersonBoxes, appearance: NDArray[np.float32] | None) -> NDArray[np.int64]:
        """Numbers of one frame's boxes; −1 for nobody, and for a box with a number that is not finite."""
        numbers = np.full(len(boxes), -1, dtype=np.int64)
        usable = np.isfinite(boxes.xyxy).all(axis=1) & np.isfinite(boxes.scores)
        looks = None if appearance is None else appearance[usable].astype(np.float16).astype(np.float32)  # as stored
        numbers[usable] = update_tracker(self._tracker, seconds, boxes.select(usable), looks)
        return numbers


def people_for(engine: Engine, settings: TrackerSettings) -> ClipPeople | None:
    """Who numbers people before a clip is answered; None for an engine to which numbers mean nothing."""
    by_number = engine.plan is not None and engine.plan.kind == "slots" and engine.wants_boxes
    return ClipPeople(settings) if by_number else None
