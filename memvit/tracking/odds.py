"""Whether a box is a person who is known: log odds from place, size and looks.

They compare two explanations of a box: it is this person, or it is somebody new, for whom every place is as likely. The
tracker matches boxes and people so that the sum of the log odds is largest; a box below 0 is rather somebody new.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from memvit.tracking.looks import Similarities, cover
from memvit.tracking.motion import Floats, Motion, log_odds_around
from memvit.tracking.settings import TrackerSettings
from memvit.tracking.tracks import Tracks

DOUBT = 2.0
"""Log odds against a person who has walked out of the picture: somebody else comes in there more often."""
TURNS = 0.05
"""How often people do not go on as before, but stop or turn."""
ANYWHERE_SECONDS, ANYWHERE = 0.5, -4.0
"""Somebody who is away for longer than this may be anywhere. These are the log odds of a box that is far from the
expected place: only looks can outweigh them."""
KNOWN_PLACE = 0.15
"""Looks count fully if the place of a person is known no better than this, in heights of the person …"""
LEAST_WEIGHT = 0.2
"""… and at least this much. Where two people overlap in the picture, their boxes show the same pixels."""


def log_odds(
    tracks: Tracks,
    xyxy: Floats,
    numbers: Floats,
    looks: Floats | None,
    similarities: Similarities,
    pts_seconds: float,
    settings: TrackerSettings,
) -> Floats:
    """(T, N): for each of T people, expected at this time, and each of N boxes.

    Boxes are given as xyxy and as numbers of `box_numbers`, both (N, 4); looks are (N, D).
    """
    motion = Motion(tracks.motion)
    away = pts_seconds - tracks.last_seconds
    goes_on = motion.log_odds(numbers, settings)
    turned = log_odds_around(tracks.last_numbers, away, numbers, settings)
    odds = np.logaddexp(goes_on + np.log(1 - TURNS), turned + np.log(TURNS))
    if looks is not None:
        odds[away > ANYWHERE_SECONDS] = np.logaddexp(odds[away > ANYWHERE_SECONDS], ANYWHERE)
        known = np.logical_and.outer(tracks.looks.any(axis=1), looks.any(axis=1))
        alike = similarities.log_odds(tracks.looks @ looks.T, settings.looks_limit)
        odds += known * alike * _weight_of_looks(motion, xyxy)
    return odds - DOUBT * _has_left(motion.xyxy())[:, None]


def _weight_of_looks(motion: Motion, xyxy: Floats) -> Floats:
    """(T, N) how much the pixels of each box say about each person, 0 to 1.

    They say less of a box that others hide: other boxes of the frame, or other people who surely stand there though
    their boxes were missed.
    """
    unsure = motion.place_deviation() / KNOWN_PLACE
    by_people = cover(xyxy, motion.xyxy()) * (1 - unsure).clip(0)
    by_others = by_people.sum(axis=1) - by_people.T
    hidden = np.maximum(by_others, cover(xyxy, xyxy).sum(axis=1)).clip(0, 1)
    return (1 - hidden) * unsure.clip(LEAST_WEIGHT, 1)[:, None]


def _has_left(xyxy: Floats) -> NDArray[np.bool_]:
    """(T, 4) expected boxes → (T,) whether more than half of each is outside the picture."""
    inside = xyxy.clip(0, 1)
    return (inside[:, 2:] - inside[:, :2]).prod(axis=1) < 0.5 * (xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1)
