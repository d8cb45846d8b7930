"""The official AVA measure: mean average precision at 0.5 IoU over the actions of a label map, in vectorised code.

As `PascalBoxes_Precision/mAP@0.5IOU` of ActivityNet's evaluator: a detection counts as right if the ground-truth box
of its keyframe and action that it overlaps most reaches an IoU of 0.5 and no earlier line has taken that box. (Earlier
in the file, not better: the evaluator sorts a keyframe's detections only where it suppresses overlapping ones, and here
it does not.) Detections without area are left out.

Of detections with equal scores, the order decides. The evaluator sorts with numpy's default sort, which is not stable
and differs between processors; this module hands the same scores in the same order to the same sort. So both give the
same number on one machine, and scores with few digits may give another number on another machine.

Precision is made monotone and integrated over all recalls. Actions without ground truth are left out of the mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from memvit.datasets.ava_files import AvaTable, read_exclusions, read_label_map, read_table
from memvit.types import MemvitError

MATCHING_IOU = 0.5
Metrics = TypedDict("Metrics", {"mAP@0.5IOU": float, "AP@0.5IOU": dict[str, float]})


def evaluate(
    groundtruth: str | Path | AvaTable,
    detections: str | Path | AvaTable,
    exclusions: str | Path | Iterable[tuple[str, int]] | None = None,
    *,
    label_map: dict[int, str] | None = None,
) -> Metrics:
    """Average precision of every action that has ground truth, and their mean.

    Args:
        groundtruth: AVA rows with actions, a file or a table.
        detections: AVA rows with actions and scores.
        exclusions: Keyframes that do not count, a file or (video, second) pairs.
        label_map: Action id → name of what is counted; by default AVA's 60.

    Raises:
        MemvitError: A file is malformed, a detection has no score, or nothing of the ground truth is counted.
    """
    names = read_label_map(None) if label_map is None else label_map
    left_out = set(exclusions) if not isinstance(exclusions, str | Path | None) else set[tuple[str, int]]()
    if isinstance(exclusions, str | Path):
        left_out = read_exclusions(exclusions)
    truth = groundtruth if isinstance(groundtruth, AvaTable) else read_table(groundtruth)
    found = detections if isinstance(detections, AvaTable) else read_table(detections)
    if np.isnan(found.last).any():
        raise MemvitError("a detection has no score; the eighth column of detections is their score")
    truth, found = (_counted(table, names, left_out) for table in (truth, found))
    if not len(truth):
        raise MemvitError("no line of the ground truth is of an action of the label map in a keyframe that counts")
    frames = _keyframes(truth, found)
    order = _by_first_line(frames[1])
    order = order[(found.boxes[order, :2] < found.boxes[order, 2:]).all(axis=1)]
    found, frames = found.where(order), (frames[0], frames[1][order])
    truth_keys, found_keys = (
        frame * (max(names) + 1) + table.actions for frame, table in zip(frames, (truth, found), strict=True)
    )
    is_right = _matched(truth, truth_keys, found, found_keys)
    precisions = {
        name: _average_precision(found.last[found.actions == number], is_right[found.actions == number], count)
        for number, name in names.items()
        if (count := int((truth.actions == number).sum()))
    }
    return {"mAP@0.5IOU": float(np.mean(list(precisions.values()))), "AP@0.5IOU": precisions}


def select_boxes(detections: AvaTable, wanted: AvaTable) -> AvaTable:
    """The detections whose boxes, rounded to three digits, are those of `wanted`: to evaluate some of the people."""
    boxes = set(_box_keys(wanted))
    return detections.where(np.array([box in boxes for box in _box_keys(detections)], dtype=bool))


def _box_keys(table: AvaTable) -> list[tuple[str, int, bytes]]:
    boxes = (table.boxes * 1000).round().astype(np.int64)
    return [(str(v), int(s), box.tobytes()) for v, s, box in zip(table.videos, table.seconds, boxes, strict=True)]


def _counted(table: AvaTable, names: dict[int, str], left_out: set[tuple[str, int]]) -> AvaTable:
    wanted = np.isin(table.actions, list(names))
    if left_out:
        excluded_videos = np.isin(table.videos, [video for video, _ in left_out])
        for row in np.flatnonzero(excluded_videos & wanted):
            wanted[row] = (str(table.videos[row]), int(table.seconds[row])) not in left_out
    return table.where(wanted)


def _keyframes(first: AvaTable, second: AvaTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The number of each row's keyframe (video, second) in both tables; equal keyframes have equal numbers."""
    _, videos = np.unique(np.concatenate((first.videos, second.videos)), return_inverse=True)
    seconds = np.concatenate((first.seconds, second.seconds))
    numbers = videos.astype(np.int64) * (int(seconds.max()) + 1) + seconds
    return numbers[: len(first)], numbers[len(first) :]


def _matched(
    truth: AvaTable, truth_keys: NDArray[np.int64], found: AvaTable, found_keys: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Mask of the right detections. The keys identify keyframe and action of each row."""
    order = np.argsort(truth_keys, kind="stable")
    keys, boxes = truth_keys[order], truth.boxes[order]
    start, stop = np.searchsorted(keys, found_keys, "left"), np.searchsorted(keys, found_keys, "right")
    best, best_overlap = np.full(len(found), -1), np.full(len(found), -1.0)
    for place in range(int((stop - start).max(initial=0))):  # the most ground-truth boxes of one action in a keyframe
        rows = np.flatnonzero(start + place < stop)
        overlap = _overlaps(found.boxes[rows], boxes[start[rows] + place])
        better = overlap > best_overlap[rows]
        best[rows[better]] = start[rows[better]] + place
        best_overlap[rows[better]] = overlap[better]
    candidates = np.flatnonzero(best_overlap >= MATCHING_IOU)
    _, first = np.unique(best[candidates], return_index=True)  # the first line of each box
    is_right = np.zeros(len(found), dtype=bool)
    is_right[candidates[first]] = True
    return is_right


def _overlaps(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) IoU of each pair of boxes, (N, 4) and (N, 4)."""
    sides = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    shared = np.prod(sides.clip(0), axis=1)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    return shared / np.maximum(areas[0] + areas[1] - shared, 1e-300)


def _by_first_line(frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row numbers grouped by keyframe, keyframes in the order of their first rows, as the evaluator reads them."""
    _, first, inverse = np.unique(frames, return_index=True, return_inverse=True)
    return np.argsort(first[inverse], kind="stable")


def _by_score(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Row numbers by descending score, with the evaluator's sort. The module's text explains equal scores."""
    return np.argsort(scores)[::-1]


def _average_precision(scores: NDArray[np.float64], is_right: NDArray[np.bool_], truths: int) -> float:
    if not len(scores):
        return 0.0
    right = np.cumsum(is_right[_by_score(scores)])
    recall = np.concatenate(([0.0], right / truths, [1.0]))
    precision = np.concatenate(([0.0], right / np.arange(1, len(right) + 1), [0.0]))
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.flatnonzero(np.diff(recall)) + 1
    return float(((recall[steps] - recall[steps - 1]) * precision[steps]).sum())
