"""The official measure, against the official evaluator's numbers."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path

import numpy as np
import pytest

from memvit.datasets.ava_files import AvaTable, read_label_map, read_table
from memvit.evaluation.ava import evaluate
from memvit.types import MemvitError
from tests.conftest import GOLDEN

FOLDER = GOLDEN / "ava_eval"


@pytest.fixture(scope="module")
def detections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ava") / "detections.csv"
    path.write_bytes(gzip.decompress((FOLDER / "detections.csv.gz").read_bytes()))
    return path


def test_every_class_as_the_official_evaluator(detections: Path) -> None:
    expected = json.loads((FOLDER / "expected.json").read_text())
    found = evaluate(FOLDER / "groundtruth.csv", detections, FOLDER / "excluded_timestamps.csv")
    assert found["mAP@0.5IOU"] == pytest.approx(expected["mAP@0.5IOU"], abs=1e-9)
    assert found["AP@0.5IOU"].keys() == expected["AP@0.5IOU"].keys()
    for name, precision in expected["AP@0.5IOU"].items():
        assert found["AP@0.5IOU"][name] == pytest.approx(precision, abs=1e-9), name


def table(rows: list[tuple[str, int, list[float], int, float]]) -> AvaTable:
    videos, seconds, boxes, actions, last = zip(*rows, strict=True)
    return AvaTable(np.array(videos), np.array(seconds), np.array(boxes), np.array(actions), np.array(last))


LEFT, RIGHT = [0.0, 0.0, 0.4, 1.0], [0.6, 0.0, 1.0, 1.0]
TRUTH = table([("v", 902, LEFT, 1, 0), ("v", 902, RIGHT, 1, 1), ("v", 903, LEFT, 1, 0)])
NAMES = {1: "one", 2: "two"}


def test_perfect_detections() -> None:
    found = table([("v", 902, LEFT, 1, 0.9), ("v", 902, RIGHT, 1, 0.8), ("v", 903, LEFT, 1, 0.7)])
    assert evaluate(TRUTH, found, label_map=NAMES) == {"mAP@0.5IOU": 1.0, "AP@0.5IOU": {"one": 1.0}}


def test_a_box_is_found_once_and_the_rest_is_wrong() -> None:
    found = table([("v", 902, LEFT, 1, 0.9), ("v", 902, LEFT, 1, 0.8), ("v", 902, RIGHT, 1, 0.7)])
    expected = 1 / 3 * 1 + 1 / 3 * 2 / 3
    assert evaluate(TRUTH, found, label_map=NAMES)["mAP@0.5IOU"] == pytest.approx(expected)


def test_other_keyframes_actions_and_poor_boxes_are_wrong() -> None:
    found = table([("v", 904, LEFT, 1, 0.9), ("w", 902, LEFT, 1, 0.9), ("v", 902, [0, 0, 0.4, 0.4], 1, 0.9)])
    assert evaluate(TRUTH, found, label_map=NAMES)["mAP@0.5IOU"] == 0.0
    assert evaluate(TRUTH, table([("v", 902, LEFT, 2, 0.9)]), label_map=NAMES)["mAP@0.5IOU"] == 0.0


def test_excluded_keyframes_do_not_count() -> None:
    found = table([("v", 902, LEFT, 1, 0.9), ("v", 902, RIGHT, 1, 0.8)])
    assert evaluate(TRUTH, found, [("v", 903)], label_map=NAMES)["mAP@0.5IOU"] == 1.0


@pytest.mark.slow
def test_a_million_detections_take_seconds(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    keyframes, people = 4000, 3
    corners = generator.uniform(0, 0.5, (keyframes * people, 2))
    boxes = np.concatenate((corners, corners + generator.uniform(0.1, 0.5, corners.shape)), axis=1)
    with (tmp_path / "truth.csv").open("w") as truth, (tmp_path / "found.csv").open("w") as found:
        for row, box in enumerate(boxes):
            place = f"v{row // 3000},{902 + row // people % 1000:04d},{','.join(f'{side:.3f}' for side in box)}"
            truth.write(f"{place},{1 + row % 80},0\n")
            found.writelines(f"{place},{action},{(row * action) % 9973 / 9973:.4f}\n" for action in range(1, 81))
    began = time.perf_counter()
    metrics = evaluate(tmp_path / "truth.csv", tmp_path / "found.csv")
    assert len(metrics["AP@0.5IOU"]) == 60
    assert time.perf_counter() - began < 60, "seconds; the limit is for the busiest machine"


def test_detections_need_scores() -> None:
    with pytest.raises(MemvitError, match="has no score"):
        evaluate(TRUTH, table([("v", 902, LEFT, 1, float("nan"))]), label_map=NAMES)
    with pytest.raises(MemvitError, match="no line of the ground truth"):
        evaluate(TRUTH, TRUTH, label_map={5: "five"})


def test_the_default_label_map_is_avas_60() -> None:
    names = read_label_map(None)
    assert len(names) == 60 and names[80] == "watch (a person)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v,902,0,0,1,1,1,0\nv,902,0,0,1\n", r"t\.csv:2: 5 columns"),
        ("v,902,0,0,1,1,1,0\n\nv,902,0,0,x,1,1,0\n", r"t\.csv:3: could not convert"),
        ("v,902,0,0,1,1,stand,0\n", r"t\.csv:1: invalid literal"),
        ("v,902,0.9,0,0.1,1,1,0\n", r"t\.csv:1: box 0.9,0,0.1,1 is not"),
        ("", "there are no boxes in it"),
    ],
)
def test_malformed_lines_are_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(MemvitError, match=message):
        read_table(tmp_path / "t.csv")


def test_empty_fields_are_no_action_and_no_score(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("1j20qq1JyX4,0902,0.036,0.098,0.550,0.979,,0.995518\nv,0903,0,0,1,1,5\n")
    found = read_table(tmp_path / "t.csv")
    assert found.actions.tolist() == [-1, 5]
    assert found.last[0] == 0.995518 and np.isnan(found.last[1])


def average_precisions(truth: AvaTable, found: AvaTable) -> dict[int, float]:
    """The measure as it is defined, one box after the other, with numpy's default sort."""
    precisions = {}
    frames = list(dict.fromkeys(zip(found.videos, found.seconds, strict=True)))
    for action in np.unique(truth.actions):
        scores, right = [], []
        for video, second in frames:
            boxes = truth.boxes[(truth.videos == video) & (truth.seconds == second) & (truth.actions == action)]
            is_free = [True] * len(boxes)
            rows = (found.videos == video) & (found.seconds == second) & (found.actions == action)
            for (x1, y1, x2, y2), score in zip(found.boxes[rows], found.last[rows], strict=True):
                if not (x1 < x2 and y1 < y2):
                    continue
                best, overlap = -1, 0.0
                for place, (left, top, right_side, bottom) in enumerate(boxes):
                    shared = max(min(x2, right_side) - max(x1, left), 0) * max(min(y2, bottom) - max(y1, top), 0)
                    area = (x2 - x1) * (y2 - y1) + (right_side - left) * (bottom - top) - shared
                    if shared / area > overlap:
                        best, overlap = place, shared / area
                scores.append(score)
                right.append(overlap >= 0.5 and is_free[best])
                if overlap >= 0.5:
                    is_free[best] = False
        count = (truth.actions == action).sum()
        hits = np.cumsum(np.array(right)[np.argsort(np.array(scores))[::-1]])
        precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
        precisions[int(action)] = float((np.diff(hits, prepend=0) * precision).sum() / count)
    return precisions


def rounded(found: AvaTable, digits: int) -> AvaTable:
    return AvaTable(found.videos, found.seconds, found.boxes, found.actions, found.last.round(digits))


def test_equal_scores_and_boxes_without_area_count_as_the_official_evaluator_counts_them() -> None:
    """Scores of one to three digits; the lines of a keyframe lie apart; some boxes are lines or points."""
    generator = np.random.default_rng(0)
    rows = 600
    corners = generator.integers(0, 3, (rows, 2)) / 4
    boxes = np.concatenate((corners, corners + generator.integers(0, 3, (rows, 2)) / 4), axis=1)
    seconds, actions = generator.integers(902, 912, rows), generator.integers(1, 4, rows)
    videos = np.array(["v", "w"])[generator.integers(0, 2, rows)]
    truth = AvaTable(videos, seconds, boxes, actions, np.zeros(rows))
    truth = truth.where((boxes[:, :2] < boxes[:, 2:]).all(axis=1))
    order = generator.permutation(rows)
    found = AvaTable(videos, seconds, boxes, actions, generator.random(rows)).where(order)
    for digits in (1, 2, 3):
        coarse = rounded(found, digits)
        wanted = average_precisions(truth, coarse)
        metrics = evaluate(truth, coarse, label_map={number: str(number) for number in wanted})
        assert metrics["AP@0.5IOU"] == pytest.approx({str(number): ap for number, ap in wanted.items()}, abs=1e-12)


def test_the_golden_detections_in_three_digits(detections: Path) -> None:
    truth, found = read_table(FOLDER / "groundtruth.csv"), rounded(read_table(detections), 3)
    wanted = average_precisions(truth, found.where(np.isin(found.actions, list(read_label_map(None)))))
    metrics = evaluate(truth, found)
    for number, name in read_label_map(None).items():
        if name in metrics["AP@0.5IOU"]:
            assert metrics["AP@0.5IOU"][name] == pytest.approx(wanted[number], abs=1e-9), name


@pytest.mark.parametrize("box", [[0.2, 0.2, 0.2, 0.8], [0.2, 0.2, 0.8, 0.2], [0.5, 0.5, 0.5, 0.5]])
def test_a_detection_without_area_is_left_out(box: list[float]) -> None:
    found = [("v", 902, LEFT, 1, 0.9), ("v", 902, RIGHT, 1, 0.8), ("v", 903, LEFT, 1, 0.7)]
    assert evaluate(TRUTH, table([("v", 902, box, 1, 0.95), *found]), label_map=NAMES)["mAP@0.5IOU"] == 1.0
