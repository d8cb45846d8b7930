"""Numbers the people of a video from its stored boxes, and keeps the table of its tracks, one row a person.

The numbers are computed when a video is put together, clip after clip. So they do not depend on how the video was cut
into segments, or on where a job was killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memvit.engine.people import update_tracker
from memvit.store.rows import Rows
from memvit.store.sightings import Column
from memvit.tracking import Tracker, TrackerSettings
from memvit.types import PersonBoxes


def tracker_settings(tracking: Mapping[str, Any]) -> TrackerSettings:
    """Return the settings of the tracker that an archive's provenance names; the default where it names none."""
    names = {field.name for field in fields(TrackerSettings)}
    return TrackerSettings(**{name: value for name, value in tracking.items() if name in names})


class Numbering:
    """Numbers the people of one video, whose parts are given in order. It holds one row for each person."""

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        """`settings` are those of the tracker, for boxes without numbers."""
        self._settings = settings
        self._tracker = Tracker(settings)
        self._people_before = 0
        """The highest number of the sessions before this one."""
        self._rows: dict[int, int] = {}
        """Number of a person → row of the arrays below."""
        self._first, self._last = np.zeros(0), np.zeros(0)
        self._clips = np.zeros(0, dtype=np.int64)
        self._sides = np.zeros((0, 4))
        """Sums of the sides of the boxes."""

    def number(self, part: Rows) -> dict[str, Column]:
        """Return the columns `person` (P) of the people of the next part, and `sighting_person` (S) of its sightings.

        A box that is no person has −1. Numbers that the boxes came with are kept. Otherwise a tracker gives them; it
        starts anew in each session of the video, and no number is used twice.
        """
        given = part.people.get("person")
        seen: NDArray[np.int64] | None = None
        if part.frames:
            seen = self._followed(part)
            numbers = seen[part.sightings["is_detection"].astype(bool)]
        else:
            numbers = self._tracked(part) if given is None else np.asarray(given, dtype=np.int64)
        clips = np.repeat(np.arange(len(part)), part.clips["people"].astype(np.int64))
        self._record(numbers, part.people["boxes"], part.clips["seconds"], clips)
        return {"person": numbers} | ({"sighting_person": seen} if seen is not None else {})

    def tracks(self) -> dict[str, Column]:
        """Return the columns of the table of tracks, in the order of the numbers."""
        persons = np.array(list(self._rows), dtype=np.int64)
        order = np.argsort(persons)
        clips = self._clips[order]
        return {
            "track": persons[order],
            "track_first_seconds": self._first[order],
            "track_last_seconds": self._last[order],
            "track_clips": clips,
            "track_mean_box": (self._sides[order] / clips[:, None]).astype(np.float32),
        }

    def _tracked(self, part: Rows) -> NDArray[np.int64]:
        """Number the people of clips that were looked at once."""
        people, counts = part.people, part.clips["people"].astype(np.int64)
        looks = people.get("appearance")
        return self._update(
            part.clips["seconds"], counts, self._begins(part), people["boxes"], people["box_scores"], looks
        )

    def _followed(self, part: Rows) -> NDArray[np.int64]:
        """Number the sightings of clips, in the frames of which people were looked for."""
        frames, seen = part.frames, part.sightings
        counts = part.clips["frames"].astype(np.int64)
        begins = np.zeros(part.num_frames, dtype=bool)
        begins[(np.cumsum(counts) - counts)[self._begins(part)]] = True  # Each clip has its keyframe at least.
        boxes = seen["boxes"], seen["scores"], seen["appearance"]
        return self._update(frames["seconds"], frames["sightings"].astype(np.int64), begins, *boxes)

    @staticmethod
    def _begins(part: Rows) -> NDArray[np.bool_]:
        return np.asarray(part.clips.get("begins_session", np.zeros(len(part), dtype=bool)), dtype=bool)

    def _update(
        self,
        times: Column,
        counts: NDArray[np.int64],
        begins: NDArray[np.bool_],
        boxes: Column,
        scores: Column,
        appearance: Column | None,
    ) -> NDArray[np.int64]:
        """Number the boxes of frames, of which `counts` says how many boxes each has."""
        numbers = np.full(len(boxes), -1, dtype=np.int64)
        usable = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
        ends = np.cumsum(counts)
        for frame, (seconds, end) in enumerate(zip(times.tolist(), ends.tolist(), strict=True)):
            if begins[frame]:
                self._people_before, self._tracker = self._people_before + self._tracker.people, Tracker(self._settings)
            start = end - int(counts[frame])
            rows = start + np.flatnonzero(usable[start:end])
            found = PersonBoxes(boxes[rows].astype(np.float32), scores[rows].astype(np.float32))
            looks = None if appearance is None else appearance[rows].astype(np.float32)
            persons = update_tracker(self._tracker, seconds, found, looks)
            numbers[rows] = np.where(persons > 0, persons + self._people_before, -1)
        return numbers

    def _record(self, numbers: NDArray[np.int64], boxes: Column, seconds: Column, clips: NDArray[np.int64]) -> None:
        """Add the boxes of numbered people to the table, one after the other, so that parts do not change the sums."""
        chosen = np.flatnonzero(numbers >= 0)
        # Of several boxes of one person in one clip, the first counts.
        _, first = np.unique(np.stack((clips[chosen], numbers[chosen])), axis=1, return_index=True)
        chosen = chosen[np.sort(first)]
        rows = np.array([self._row(person) for person in numbers[chosen].tolist()], dtype=np.int64)
        times = seconds[clips[chosen]].astype(np.float64)
        np.minimum.at(self._first, rows, times)
        np.maximum.at(self._last, rows, times)
        np.add.at(self._clips, rows, 1)
        np.add.at(self._sides, rows, boxes[chosen].astype(np.float64))

    def _row(self, person: int) -> int:
        row = self._rows.setdefault(person, len(self._rows))
        if row >= len(self._first):
            more = max(64, len(self._first))
            self._first = np.concatenate((self._first, np.full(more, np.inf)))
            self._last = np.concatenate((self._last, np.full(more, -np.inf)))
            self._clips = np.concatenate((self._clips, np.zeros(more, dtype=np.int64)))
            self._sides = np.concatenate((self._sides, np.zeros((more, 4))))
        return row
