"""What a step returns, and its forms on disk: JSON Lines and AVA's CSV.

One JSON object a clip, keys in this order (docs/results.md has an example):

    stream      name of the stream
    clip        index of the clip in its stream: 0, 1, 2, …
    seconds     the instant that the clip answers for, in seconds of the source
    span        [first, last] frame time of the clip, in seconds
    memory      {"clips": past clips remembered, "attended_seconds": ages of those attended directly,
                "reach_seconds": age of the oldest that can have had an influence through those}
    session     number of the stream's session, where it is not the first: memory does not reach across
    missed      clips that are missing before this one, where there are any: late ones, and those in gaps
    condition   "frozen" or "black", where the picture of a live stream is that
    latency     of a live stream: seconds from the arrival of the clip's last frame to this result, and where they went
    people      a list of {"box": [x1, y1, x2, y2] in 0..1, "box_score", "actions": […]}, for an action model
    actions     a list of {"id", "name", "score"}, best first, for a clip classifier (then without `people`)
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from memvit.labels import Labels
from memvit.os_errors import sentence_of
from memvit.types import MemvitError, PersonBoxes


@dataclass(frozen=True)
class Latency:
    """Seconds from the arrival of a clip's last frame to its result, by where they went."""

    decode_seconds: float
    """Until the clip was complete."""
    queue_seconds: float
    """Until the model had time for it."""
    boxes_seconds: float
    """Finding the people of the whole batch."""
    model_seconds: float
    """Answering the whole batch."""

    @property
    def seconds(self) -> float:
        """The sum."""
        return self.decode_seconds + self.queue_seconds + self.boxes_seconds + self.model_seconds


@dataclass(frozen=True, eq=False)
class Result:
    """What a model said about one clip of one stream."""

    stream_id: str
    clip_index: int
    centre_seconds: float
    start_seconds: float
    end_seconds: float
    boxes: PersonBoxes | None
    """Of the people, in the order of `scores`; None for a clip classifier."""
    scores: NDArray[np.float32]
    """(people, classes) probabilities; one row for a clip classifier."""
    memory_clips: int = 0
    """Past clips that the stream's memory held."""
    memory_offsets_seconds: tuple[float, ...] = ()
    """Ages of the past clips attended directly, nearest first."""
    memory_reach_seconds: float = 0.0
    """Age of the oldest clip that can have had an influence: what was attended had attended to others."""
    features: NDArray[np.float32] | None = None
    """(C,) of the whole clip: what the classifier reads, or the mean token where people are classified."""
    box_features: NDArray[np.float32] | None = None
    """(people, C): what each person's scores are read from; None for a clip classifier."""
    session: int = 0
    """See `Clip`."""
    missed_clips: int = 0
    """See `Clip`."""
    quality: str = "ok"
    """See `Clip`."""
    latency: Latency | None = None
    """Of a watched stream."""
    labels: Labels | None = None
    """Names of the classes, where whoever made the result knew them."""

    def actions(self, top_k: int = 5) -> list[list[tuple[str, float]]]:
        """The best (name, score) of every person, in the order of `boxes`; of the whole clip for a clip classifier.

        ValueError if the result does not know its labels.
        """
        if self.labels is None:
            raise ValueError("this result has no labels; use memvit.results.top_actions with yours")
        best = [top_actions(row, self.labels, top_k) for row in self.scores]
        return [[(action["name"], action["score"]) for action in of_one] for of_one in best]


def to_json(
    result: Result, labels: Labels, *, top_k: int = 5, all_scores: bool = False, with_latency: bool = False
) -> str:
    """One line of JSON, the same bytes for the same result (but for the latency, which is never the same)."""
    record = to_record(result, labels, top_k=top_k, all_scores=all_scores)
    if with_latency and result.latency is not None:
        record["latency"] = latency_record(result.latency)
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def latency_record(latency: Latency) -> dict[str, float]:
    """Seconds, in all and by part."""
    return {
        "seconds": round(latency.seconds, 4),
        "decode": round(latency.decode_seconds, 4),
        "queue": round(latency.queue_seconds, 4),
        "boxes": round(latency.boxes_seconds, 4),
        "model": round(latency.model_seconds, 4),
    }


def to_record(result: Result, labels: Labels, *, top_k: int = 5, all_scores: bool = False) -> dict[str, Any]:
    """What `to_json` writes, see the module."""
    record: dict[str, Any] = {
        "stream": result.stream_id,
        "clip": result.clip_index,
        "seconds": round(result.centre_seconds, 3),
        "span": [round(result.start_seconds, 3), round(result.end_seconds, 3)],
        "memory": {
            "clips": result.memory_clips,
            "attended_seconds": [round(offset, 3) for offset in result.memory_offsets_seconds],
            "reach_seconds": round(result.memory_reach_seconds, 3),
        },
    }
    if result.session:
        record["session"] = result.session
    if result.missed_clips:
        record["missed"] = result.missed_clips
    if result.quality != "ok":
        record["condition"] = result.quality
    actions = [top_actions(row, labels, len(labels) if all_scores else top_k) for row in result.scores]
    if result.boxes is None:
        record["actions"] = actions[0]
    else:
        record["people"] = [
            {
                "box": [round(float(side), 4) for side in box],
                "box_score": round(float(score), 4),
                "actions": of_person,
            }
            for box, score, of_person in zip(result.boxes.xyxy, result.boxes.scores, actions, strict=True)
        ]
    return record


def top_actions(scores: NDArray[np.float32], labels: Labels, count: int) -> list[dict[str, Any]]:
    """The `count` best classes, best first; equal scores in the order of the classes."""
    order = np.argsort(-scores, kind="stable")[:count]
    return [
        {"id": int(index) + labels.first_id, "name": labels.names[index], "score": round(float(scores[index]), 4)}
        for index in order
    ]


class TextSink:
    """A text file that has every line on disk as soon as it is written."""

    def __init__(self, path: str | Path) -> None:
        try:
            self._file: TextIO = Path(path).open("w", encoding="utf-8")  # noqa: SIM115 closed by close()
        except OSError as error:
            raise MemvitError(sentence_of(error, path)) from error
        self.path = Path(path)

    def line(self, text: str) -> None:
        """Write a line; MemvitError when the disk takes no more."""
        try:
            self._file.write(text + "\n")
            self._file.flush()
        except OSError as error:
            raise MemvitError(f"{sentence_of(error, self.path)}; what was written is kept") from error

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        with suppress(OSError):  # every line was flushed when it was written; a failure then was told then
            self._file.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class JsonLinesWriter(TextSink):
    """A JSON object a clip, see the module."""

    def __init__(
        self,
        path: str | Path,
        labels: Labels,
        *,
        top_k: int = 5,
        all_scores: bool = False,
        with_latency: bool = False,
    ) -> None:
        super().__init__(path)
        self._labels, self._top_k, self._all_scores, self._with_latency = labels, top_k, all_scores, with_latency

    def __enter__(self) -> JsonLinesWriter:
        return self

    def write(self, result: Result) -> None:
        """Append one result."""
        self.line(
            to_json(
                result,
                self._labels,
                top_k=self._top_k,
                all_scores=self._all_scores,
                with_latency=self._with_latency,
            )
        )


class AvaCsvWriter(TextSink):
    """Detections as AVA's evaluation reads them: video,second,x1,y1,x2,y2,action,score, every class of every box."""

    def __init__(self, path: str | Path, labels: Labels) -> None:
        super().__init__(path)
        self._labels = labels

    def __enter__(self) -> AvaCsvWriter:
        return self

    def write(self, result: Result) -> None:
        """Append one result. MemvitError if it has no boxes or lies between whole seconds, which the format lacks."""
        second = round(result.centre_seconds)
        if result.boxes is None:
            raise MemvitError("AVA's CSV is of people; this model classifies whole clips: leave --ava-csv out")
        if abs(result.centre_seconds - second) > 1e-3:
            raise MemvitError(
                f"AVA's CSV knows whole seconds only, a clip is centred at {result.centre_seconds:g} s; use a hop of 1"
            )
        for box, scores in zip(result.boxes.xyxy, result.scores, strict=True):
            sides = ",".join(f"{side:.3f}" for side in box)
            for index, score in enumerate(scores):
                self.line(f"{result.stream_id},{second:04d},{sides},{index + self._labels.first_id},{score:.4f}")
