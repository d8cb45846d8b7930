"""What an archive holds of one moment of a video: who is where, and does what."""

from __future__ import annotations

from typing import Any

import numpy as np

from memvit.store import Archive, VideoState
from memvit.store.videos import hop_of
from memvit.types import MemvitError

MAX_ACTIONS = 5
MIN_SCORE = 0.05
"""Actions with a lower score are not told, except the best one."""


def moment_of(archive: Archive, state: VideoState, seconds: float) -> dict[str, Any]:
    """Return the clip nearest to a time as plain values; without `people` for a classifier of whole clips.

    MemvitError if there is no clip near.
    """
    times = np.asarray(archive.array(state.id, "seconds")[:])
    clip = int(np.argmin(np.abs(times - seconds))) if len(times) else -1
    if clip < 0 or abs(times[clip] - seconds) > hop_of(archive.provenance) * 1.5:
        raise MemvitError(f"there is no clip at {seconds:g} s of this film")
    found: dict[str, Any] = {"seconds": round(float(times[clip]), 3)}
    names, scores = set(state.digests or {}), archive.array(state.id, "action_scores")
    if "detection_clip" not in names:
        return {**found, "people": None, "actions": _actions(archive, np.asarray(scores[clip]))}
    rows = np.flatnonzero(np.asarray(archive.array(state.id, "detection_clip")[:]) == clip)
    if not len(rows):
        return {**found, "people": []}
    block = slice(int(rows[0]), int(rows[-1]) + 1)
    boxes = np.asarray(archive.array(state.id, "boxes")[block])
    persons = np.asarray(archive.array(state.id, "person")[block]) if "person" in names else np.full(len(rows), -1)
    of_people = np.asarray(scores[block])
    people = [
        {
            "person": int(persons[place]) if persons[place] >= 0 else None,
            "box": [round(float(value), 4) for value in boxes[place]],
            "actions": _actions(archive, of_people[place]),
        }
        for place in range(len(rows))
    ]
    return {**found, "people": people}


def _actions(archive: Archive, scores: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
    values = np.nan_to_num(scores.astype(np.float64), nan=0.0)
    best = np.argsort(-values, kind="stable")[:MAX_ACTIONS]
    return [
        {"action": archive.provenance.classes[place], "score": round(float(values[place]), 3)}
        for rank, place in enumerate(best.tolist())
        if not rank or values[place] >= MIN_SCORE
    ]
