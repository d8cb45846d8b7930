"""What a model said about one clip of one stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memvit.labels import Labels
from memvit.types import PersonBoxes


@dataclass(frozen=True)
class Latency:
    """Seconds from the arrival of a clip's last frame to its result, divided into four consecutive parts."""

    decode_seconds: float
    """From the arrival of the last frame until the clip was complete."""
    queue_seconds: float
    """From then until the batch that holds the clip was started."""
    boxes_seconds: float
    """Time to find the people of the whole batch."""
    model_seconds: float
    """Time to run the model on the whole batch."""

    @property
    def seconds(self) -> float:
        """The sum of the four parts."""
        return self.decode_seconds + self.queue_seconds + self.boxes_seconds + self.model_seconds


@dataclass(frozen=True, eq=False)
class Result:
    """What a model said about one clip of one stream. All times are seconds of the source's own clock."""

    stream_id: str
    clip_index: int
    """0, 1, 2, … within a session of the stream."""
    centre_seconds: float
    """The keyframe: the instant that the result describes."""
    start_seconds: float
    """Presentation time of the clip's first frame."""
    end_seconds: float
    """Presentation time of the clip's last frame."""
    boxes: PersonBoxes | None
    """Boxes of the people, in the order of `scores`; None for a clip classifier."""
    scores: NDArray[np.float32]
    """(people, classes) probabilities; one row for a clip classifier."""
    memory_clips: int = 0
    """Number of past clips that the stream's memory held."""
    memory_offsets_seconds: tuple[float, ...] = ()
    """Ages of the past clips that were attended directly, nearest first."""
    memory_reach_seconds: float = 0.0
    """Age of the oldest clip that can have had an influence: clips that were attended had attended to older ones."""
    features: NDArray[np.float32] | None = None
    """(C,) features of the whole clip: what the classifier reads, or the mean token where people are classified."""
    box_features: NDArray[np.float32] | None = None
    """(people, C) features from which each person's scores are computed; None for a clip classifier."""
    session: int = 0
    """The number of the stream's session, as in `Clip`: memory does not reach from one session into the next."""
    missed_clips: int = 0
    """How many clips are missing between this one and the one before it, as in `Clip`."""
    quality: str = "ok"
    """Quality of the picture, as in `Clip`: "ok", "frozen" or "black"."""
    latency: Latency | None = None
    """Set for a stream that a `Watcher` reads; None where clips were passed to an engine directly."""
    centre_unix: float | None = None
    """Unix time of the centre, as the frames arrived; None for a file, whose frames may be from any time."""
    trail: tuple[tuple[float, PersonBoxes], ...] = ()
    """(presentation time in seconds, boxes and numbers of the people) of every frame in which people were looked for,
    times ascending, so that pictures can move boxes with the people. First comes the last frame of the clip before, if
    there is one; the keyframe is among them. Empty if the people of the keyframe only were looked for."""
    labels: Labels | None = None
    """Names of the classes, where whoever made the result knew them."""
    memory_in_slots: bool = False
    """Whether memory is in slots: then the ages are those of the newest clip in each slot, and no clip between them is
    left out."""

    def actions(self, top_k: int = 5) -> list[list[tuple[str, float]]]:
        """The best (name, score) of every person, in the order of `boxes`; of the whole clip for a clip classifier.

        ValueError if the result does not know its labels.
        """
        if self.labels is None:
            raise ValueError("this result has no labels; use memvit.results.result.top_actions with yours")
        best = [top_actions(row, self.labels, top_k) for row in self.scores]
        return [[(action["name"], action["score"]) for action in row] for row in best]


def top_actions(scores: NDArray[np.float32], labels: Labels, count: int) -> list[dict[str, Any]]:
    """The `count` best classes of one row of scores, best first; equal scores in the order of the classes."""
    order = np.argsort(-scores, kind="stable")[:count]
    return [
        {"id": int(index) + labels.first_id, "name": labels.names[index], "score": round(float(scores[index]), 4)}
        for index in order
    ]
