"""Results as JSON Lines: one JSON object for each clip, with its keys in this order (docs/results.md has an example):

stream      name of the stream
clip        index of the clip in its stream: 0, 1, 2, …
seconds     the instant that the result describes, in seconds of the source
span        [first, last] frame time of the clip, in seconds
memory      {"clips": number of past clips remembered, "attended_seconds": ages of those attended directly,
            "reach_seconds": age of the oldest that can have had an influence through those}
session     number of the stream's session, unless it is the first: memory does not reach from one to the next
missed      number of clips that are missing before this one, if any: late ones, and those in gaps of the stream
condition   "frozen" or "black", if the picture does not change or shows nothing
time        for a live stream: time of day of `seconds` in UTC, by the arrival of the clip's last frame
latency     for a live stream: seconds from the arrival of the clip's last frame to this result, and its parts
people      for an action model: a list of {"person", "box": [x1, y1, x2, y2] in 0..1, "box_score", "actions": […]};
            "person" is the person's number in this session of the stream, null for a box that is no person yet, and is
            left out where nobody is tracked
actions     for a clip classifier, in the place of `people`: a list of {"id", "name", "score"}, best first
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from memvit.labels import Labels
from memvit.results.result import Latency, Result, top_actions
from memvit.results.text_file import TextFileWriter
from memvit.results.wall_clock import utc_text
from memvit.types import NO_PERSON, PersonBoxes


class JsonLinesWriter(TextFileWriter):
    """Writes results to a file, one line of JSON each."""

    def __init__(
        self,
        path: str | Path,
        labels: Labels,
        *,
        top_k: int = 5,
        all_scores: bool = False,
        with_latency: bool = False,
    ) -> None:
        """The best `top_k` actions of each person are written, or with `all_scores` all of them."""
        super().__init__(path)
        self._labels, self._top_k, self._all_scores, self._with_latency = labels, top_k, all_scores, with_latency

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


def to_json(
    result: Result, labels: Labels, *, top_k: int = 5, all_scores: bool = False, with_latency: bool = False
) -> str:
    """One line of JSON: the same bytes for the same result, except for the time and latency, which differ in every run.

    ValueError if the result holds NaN or infinity: a result that is not a number must never be written.
    """
    record = to_record(result, labels, top_k=top_k, all_scores=all_scores)
    if with_latency:
        record |= live_record(result)
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def live_record(result: Result) -> dict[str, Any]:
    """What is different in every run, as far as it is known: `time` and `latency`."""
    record: dict[str, Any] = {}
    if result.centre_unix is not None:
        record["time"] = utc_text(result.centre_unix)
    if result.latency is not None:
        record["latency"] = latency_record(result.latency)
    return record


def latency_record(latency: Latency) -> dict[str, float]:
    """The latency in seconds, as a whole and by part."""
    return {
        "seconds": round(latency.seconds, 4),
        "decode": round(latency.decode_seconds, 4),
        "queue": round(latency.queue_seconds, 4),
        "boxes": round(latency.boxes_seconds, 4),
        "model": round(latency.model_seconds, 4),
    }


def to_record(result: Result, labels: Labels, *, top_k: int = 5, all_scores: bool = False) -> dict[str, Any]:
    """The object that `to_json` writes, without the time and the latency."""
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
                **number,
                "box": [round(float(side), 4) for side in box],
                "box_score": round(float(score), 4),
                "actions": actions_of_person,
            }
            for number, box, score, actions_of_person in zip(
                _numbers(result.boxes), result.boxes.xyxy, result.boxes.scores, actions, strict=True
            )
        ]
    return record


def _numbers(boxes: PersonBoxes) -> list[dict[str, int | None]]:
    """The item "person" of each box, or nothing where nobody is tracked."""
    if boxes.persons is None:
        return [{} for _ in range(len(boxes))]
    return [{"person": number if number != NO_PERSON else None} for number in boxes.persons.tolist()]
