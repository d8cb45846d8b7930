"""Who is who: a tracker of the people of one stream."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from memvit.tracking.motion import Motion, as_state
from memvit.tracking.settings import TrackerSettings
from memvit.types import PersonBoxes

FORMAT = 1
SMALLEST_SIDE = 1e-6
"""Boxes with a shorter side have no size, and are no person."""
MOTION = ("place", "speed", "place_variance", "covariance", "speed_variance")


class Tracker:
    """Gives each person of a stream a number from 1 that stays the same and is never used twice.

    `update` is called with the boxes of one frame after the other. Frames may come at any rate and may be lost: only
    their times count. The same calls always give the same numbers.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self.pts_seconds = -math.inf
        """Time of the last frame."""
        self.people = 0
        """How many numbers have been given."""
        self._motion = Motion.start(np.zeros((0, 4)), self.settings)
        self._persons = np.zeros(0, dtype=np.int64)
        """(T,) numbers of the tracks; −1 for one that is no person yet."""
        self._seen = np.zeros(0)
        """(T,) when each was seen last, seconds."""
        self._found = np.zeros(0, dtype=np.int64)
        """(T,) how many boxes each has had, as far as it is no person yet."""
        self._appearance = np.zeros((0, 0), dtype=np.float32)
        """(T, D) running mean; D is 0 until an appearance is given."""

    def update(
        self, pts_seconds: float, boxes: PersonBoxes, appearance: NDArray[np.float32] | None = None
    ) -> NDArray[np.int64]:
        """The numbers of a frame's boxes: (N,), from 1; −1 for a box that is no person, or not yet.

        `appearance` is (N, D), rows of length 1, whose dot products say how alike two boxes look. ValueError if the
        time is not later than that of the last call, or if boxes, scores or appearance are not finite.
        """
        self._check(pts_seconds, boxes, appearance)
        settings, before = self.settings, self.pts_seconds
        self.pts_seconds = float(pts_seconds)
        self._drop_old()
        xyxy = boxes.xyxy.astype(np.float64)
        good = np.flatnonzero((xyxy[:, 2:] - xyxy[:, :2]).min(axis=1, initial=np.inf) > SMALLEST_SIDE)
        state = np.zeros((len(boxes), 4))
        state[good] = as_state(xyxy[good])
        track_of = np.full(len(boxes), -1)
        elapsed = np.full(len(self._persons), pts_seconds - before) if len(self._persons) else np.zeros(0)
        self._motion = self._motion.predict(elapsed, settings)
        sure = boxes.scores >= settings.low_score
        for stage in (good[sure[good]], good[~sure[good]]):
            free = np.setdiff1d(np.arange(len(self._persons)), track_of)
            gain = self._motion.select(free).log_likelihood(state[stage], settings) + settings.accept
            rows, columns = linear_sum_assignment(-np.maximum(gain, 0))
            taken = gain[rows, columns] > 0
            track_of[stage[columns[taken]]] = free[rows[taken]]
        matched = np.flatnonzero(track_of >= 0)
        tracks = track_of[matched]
        self._motion.replace(tracks, self._motion.select(tracks).correct(state[matched], settings))
        self._seen[tracks] = pts_seconds
        self._found[tracks] += 1
        numbers = np.full(len(boxes), -1, dtype=np.int64)
        new = good[sure[good] & (track_of[good] < 0)]
        track_of[new] = len(self._persons) + np.arange(len(new))
        self._motion = self._motion.join(Motion.start(state[new], settings))
        self._persons = np.concatenate((self._persons, np.full(len(new), -1, dtype=np.int64)))
        self._seen = np.concatenate((self._seen, np.full(len(new), float(pts_seconds))))
        self._found = np.concatenate((self._found, np.ones(len(new), dtype=np.int64)))
        boxes_with = np.flatnonzero(track_of >= 0)
        tracks = track_of[boxes_with]
        confirmed = (
            (boxes.scores[boxes_with] >= settings.sure_score)
            | (pts_seconds - before >= settings.wait_seconds)
            | (self._found[tracks] >= settings.confirm_boxes)
        )
        fresh = np.flatnonzero(confirmed & (self._persons[tracks] < 0))
        fresh = fresh[np.argsort(state[boxes_with[fresh], 0], kind="stable")]
        self._persons[tracks[fresh]] = self.people + 1 + np.arange(len(fresh))
        self.people += len(fresh)
        numbers[boxes_with] = self._persons[tracks]
        return numbers

    def _drop_old(self) -> None:
        limit = np.where(self._persons > 0, self.settings.keep_seconds, self.settings.confirm_seconds)
        kept = self.pts_seconds - self._seen <= limit
        self._motion = self._motion.select(kept)
        self._persons, self._seen, self._found = self._persons[kept], self._seen[kept], self._found[kept]

    def _check(self, pts_seconds: float, boxes: PersonBoxes, appearance: NDArray[np.float32] | None) -> None:
        if not math.isfinite(pts_seconds):
            raise ValueError(f"the time of a frame must be a finite number of seconds, got {pts_seconds}")
        if pts_seconds <= self.pts_seconds:
            raise ValueError(f"frames must come in order of time: {pts_seconds} s came after {self.pts_seconds} s")
        if not (np.isfinite(boxes.xyxy).all() and np.isfinite(boxes.scores).all()):
            raise ValueError(f"the boxes at {pts_seconds} s contain numbers that are not finite")
        if appearance is not None:
            if appearance.ndim != 2 or len(appearance) != len(boxes):
                raise ValueError(f"appearance must be ({len(boxes)}, D), a row for each box, got {appearance.shape}")
            if not np.isfinite(appearance).all():
                raise ValueError(f"the appearance at {pts_seconds} s contains numbers that are not finite")

    def state_dict(self) -> dict[str, Any]:
        """All that the tracker knows, as numpy arrays and numbers."""
        return {
            "format": FORMAT,
            **{f"settings.{name}": value for name, value in asdict(self.settings).items()},
            # JSON has no infinity.
            **({"pts_seconds": self.pts_seconds} if math.isfinite(self.pts_seconds) else {}),
            "people": self.people,
            "persons": self._persons.copy(),
            "seen": self._seen.copy(),
            "found": self._found.copy(),
            "appearance": self._appearance.copy(),
            **{name: getattr(self._motion, name).copy() for name in MOTION},
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Tracker:
        """The tracker that goes on from `state_dict`. ValueError if the state is of another version or incomplete."""
        try:
            if state["format"] != FORMAT:
                raise ValueError("it was written by another version of memvit")
            named = [field.name for field in fields(TrackerSettings)]
            tracker = cls(TrackerSettings(**{name: state[f"settings.{name}"] for name in named}))
            tracker.pts_seconds = float(state.get("pts_seconds", -math.inf))
            tracker.people = int(state["people"])
            tracker._persons = np.array(state["persons"], dtype=np.int64)
            tracker._seen = np.array(state["seen"], dtype=np.float64)
            tracker._found = np.array(state["found"], dtype=np.int64)
            tracker._appearance = np.array(state["appearance"], dtype=np.float32)
            tracker._motion = Motion(*(np.array(state[name], dtype=np.float64) for name in MOTION))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is not the state of a tracker ({error})") from error
        return tracker

    def copy(self) -> Tracker:
        """A tracker in the same state, independent of this one."""
        return copy.deepcopy(self)
