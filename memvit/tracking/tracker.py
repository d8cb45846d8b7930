"""Who is who: a tracker of the people of one stream."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from memvit.tracking.looks import Similarities, cover
from memvit.tracking.motion import Floats, Motion, box_numbers
from memvit.tracking.odds import log_odds
from memvit.tracking.settings import TrackerSettings
from memvit.tracking.tracks import Tracks
from memvit.types import PersonBoxes

FORMAT = 1
SMALLEST_SIDE = 1e-6
"""A box with a shorter side is empty and no person."""
UNLIKELY = 2.0
"""Log odds against a box with a low score being a person."""
MOST_HIDDEN = 0.3
"""Looks are learned from boxes of which no larger part is hidden."""
MOST_TRACKS = 1000
"""No more people are known at a time: of a larger number those who were seen last. It bounds time and memory."""
Indices = NDArray[np.intp]


class Tracker:
    """Gives each person of a stream a number from 1 that stays the same and is never given to anybody else.

    `update` is called with the boxes of one frame after the other. Frames may come at any rate, and may be lost: only
    their times count. The same calls give the same numbers.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self.pts_seconds = -math.inf
        """Time of the last frame."""
        self.people = 0
        """How many numbers have been given so far."""
        self._similarities = Similarities()
        self._tracks = Tracks.start(0.0, Motion(np.zeros((0, 5, 4))), np.zeros((0, 0)))

    def update(
        self, pts_seconds: float, boxes: PersonBoxes, appearance: NDArray[np.float32] | None = None
    ) -> NDArray[np.int64]:
        """The numbers of the people in a frame's boxes: (N,), from 1; −1 for a box that is no person, or not yet.

        `appearance` is (N, D): rows of length 1, whose dot products say how alike two boxes look, or zeros where
        nothing is known. Boxes without area are no people. ValueError if the time is not later than that of the frame
        before, or if a number is not finite.
        """
        self._check(pts_seconds, boxes, appearance)
        waited, self.pts_seconds = float(pts_seconds) - self.pts_seconds, float(pts_seconds)
        xyxy = boxes.xyxy.astype(np.float64)
        real = np.flatnonzero((xyxy[:, 2:] - xyxy[:, :2] > SMALLEST_SIDE).all(axis=1))
        people = np.full(len(boxes), -1, dtype=np.int64)
        people[real] = self._update(
            waited, xyxy[real], boxes.scores[real], None if appearance is None else appearance[real].astype(np.float64)
        )
        return people

    def _update(
        self, waited: float, xyxy: Floats, scores: NDArray[np.float32], looks: Floats | None
    ) -> NDArray[np.int64]:
        """`update` for boxes that have an area, `waited` seconds after the frame before."""
        self._keep(waited, looks)
        likely = scores >= self.settings.low_score
        numbers = box_numbers(xyxy)
        odds = log_odds(self._tracks, xyxy, numbers, looks, self._similarities, self.pts_seconds, self.settings)
        track = np.full(len(xyxy), -1, dtype=np.intp)
        for stage, doubt in ((likely, 0.0), (~likely, UNLIKELY)):
            columns = np.flatnonzero(stage)
            rows = np.setdiff1d(np.arange(len(self._tracks)), track)
            _assign(odds - doubt, rows, columns, track)
        known = np.flatnonzero(track >= 0)
        if looks is not None:
            self._learn(track, looks, cover(xyxy, xyxy).sum(axis=1))
        self._see(track[known], numbers[known])
        new = np.flatnonzero(likely & (track < 0))
        track[new] = len(self._tracks) + np.arange(len(new))
        size = self._tracks.looks.shape[1]
        fresh = Tracks.start(
            self.pts_seconds,
            Motion.start(numbers[new], self.settings),
            np.zeros((len(new), size)) if looks is None else looks[new],
        )
        self._tracks = self._tracks.join(fresh)
        self._name(track, scores, numbers[:, 0], waited)
        return np.where(track >= 0, self._tracks.persons[track], -1) if len(self._tracks) else np.full(len(xyxy), -1)

    def _keep(self, waited: float, looks: Floats | None) -> None:
        """Forget who was away too long, and expect the others where they are now."""
        tracks, settings = self._tracks, self.settings
        limit = np.where(tracks.persons > 0, settings.keep_seconds, max(settings.wait_seconds, waited))
        tracks = tracks.select(self.pts_seconds - tracks.last_seconds <= limit)
        if len(tracks) > MOST_TRACKS:
            latest = np.argsort(-tracks.last_seconds, kind="stable")[:MOST_TRACKS]
            tracks = tracks.select(np.sort(latest))
        if len(tracks):
            tracks = replace(tracks, motion=Motion(tracks.motion).predict(waited, settings).values)
        if looks is not None and looks.shape[1] != tracks.looks.shape[1]:
            tracks = tracks.with_looks(looks.shape[1])
        self._tracks = tracks

    def _learn(self, track: Indices, looks: Floats, hidden: Floats) -> None:
        """Learn from a frame what people look like, and how alike."""
        tracks = self._tracks
        boxes = np.flatnonzero((track >= 0) & (hidden <= MOST_HIDDEN) & looks.any(axis=1))
        rows = track[boxes]
        known = np.flatnonzero(tracks.looks[rows].any(axis=1))
        if len(known) > 1:
            table = tracks.looks[rows[known]] @ looks[boxes[known]].T
            other = ~np.eye(len(known), dtype=bool)
            self._similarities = self._similarities.learn(table.diagonal(), table[other])
        elapsed = np.maximum(self.pts_seconds - tracks.last_seconds[rows], 1e-3)
        total = np.minimum(tracks.looks_seconds[rows] + elapsed, self.settings.looks_seconds)
        share = np.minimum(elapsed / total, 1)[:, None]
        mean = (1 - share) * tracks.looks[rows] + share * looks[boxes]
        tracks.looks[rows] = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
        tracks.looks_seconds[rows] = total

    def _see(self, rows: Indices, numbers: Floats) -> None:
        """These tracks were found, in boxes with these numbers."""
        tracks = self._tracks
        tracks.motion[rows] = Motion(tracks.motion[rows]).correct(numbers, self.settings).values
        tracks.last_seconds[rows] = self.pts_seconds
        tracks.last_numbers[rows] = tracks.motion[rows, 0]

    def _name(self, track: Indices, scores: NDArray[np.float32], x: Floats, waited: float) -> None:
        """Give numbers to those who are people from now on, from left to right."""
        tracks, settings = self._tracks, self.settings
        boxes = np.flatnonzero(track >= 0)
        rows = track[boxes]
        waited_long = np.maximum(self.pts_seconds - tracks.first_seconds[rows], waited) >= settings.wait_seconds
        ready = (tracks.persons[rows] < 0) & (waited_long | (scores[boxes] >= settings.sure_score))
        boxes = boxes[ready]
        boxes = boxes[np.argsort(x[boxes], kind="stable")]
        tracks.persons[track[boxes]] = self.people + 1 + np.arange(len(boxes))
        self.people += len(boxes)

    def _check(self, pts_seconds: float, boxes: PersonBoxes, appearance: NDArray[np.float32] | None) -> None:
        if not math.isfinite(pts_seconds):
            raise ValueError(f"the time of a frame must be a finite number of seconds, got {pts_seconds}")
        if pts_seconds <= self.pts_seconds:
            raise ValueError(f"frames must come in order of time: {pts_seconds} s came after {self.pts_seconds} s")
        if not (np.isfinite(boxes.xyxy).all() and np.isfinite(boxes.scores).all()):
            raise ValueError(f"the boxes at {pts_seconds} s contain numbers that are not finite")
        if appearance is not None and (appearance.ndim != 2 or len(appearance) != len(boxes)):
            raise ValueError(f"appearance must have a row for each of {len(boxes)} boxes, got {appearance.shape}")
        if appearance is not None and not np.isfinite(appearance).all():
            raise ValueError(f"the appearance at {pts_seconds} s contains numbers that are not finite")

    def state_dict(self) -> dict[str, Any]:
        """All that the tracker knows, as numpy arrays and numbers."""
        return {
            "format": FORMAT,
            "people": self.people,
            # JSON has no infinity: the time is left out before the first frame.
            **({"pts_seconds": self.pts_seconds} if math.isfinite(self.pts_seconds) else {}),
            "similarities": np.array([*self._similarities.values, self._similarities.weight]),
            **{f"tracks.{name}": array for name, array in self._tracks.arrays().items()},
            **{f"settings.{name}": value for name, value in asdict(self.settings).items()},
        }

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Tracker:
        """The tracker that goes on from a `state_dict`. ValueError if it is of another version, or incomplete."""
        try:
            if state["format"] != FORMAT:
                raise ValueError("it was written by another version of memvit")
            settings = {field.name: float(state[f"settings.{field.name}"]) for field in fields(TrackerSettings)}
            tracker = cls(TrackerSettings(**settings))
            tracker.pts_seconds = float(state.get("pts_seconds", -math.inf))
            tracker.people = int(state["people"])
            same, different, variance, weight = (float(value) for value in state["similarities"])
            tracker._similarities = Similarities((same, different, variance), weight)
            tracker._tracks = Tracks.from_arrays(
                {name.removeprefix("tracks."): value for name, value in state.items() if name.startswith("tracks.")}
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is not the state of a tracker ({error})") from error
        return tracker

    def copy(self) -> Tracker:
        """A tracker in the same state, independent of this one."""
        return Tracker.from_state_dict(self.state_dict())


def _assign(odds: Floats, rows: Indices, columns: Indices, track: Indices) -> None:
    """Write into `track` (N,) the rows of those boxes for which the sum of the log odds is largest, all positive."""
    part = odds[rows[:, None], columns]
    pairs = linear_sum_assignment(np.maximum(part, 0), maximize=True)
    taken = part[pairs] > 0
    track[columns[pairs[1][taken]]] = rows[pairs[0][taken]]
