"""Counting, averaging over views, and the file of predictions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from memvit.evaluation.classification import Prediction, PredictionFile, SampleViews, TopK, predict
from memvit.models import Preprocessing
from memvit.types import MemvitError

PLAN = Preprocessing(2, 1, short_side=4, mean=(0, 0, 0), std=(1, 1, 1))


class Brightness(nn.Module):
    """Seven classes; a clip's logits are its brightness times a ramp."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return clips.mean((1, 2, 3, 4))[:, None] * torch.arange(7.0)


def test_scores_are_averaged_over_views() -> None:
    views = torch.stack([torch.full((2, 3, 4, 4), value, dtype=torch.uint8) for value in (0, 255)])
    (found,) = predict(Brightness(), [SampleViews("a", 6, views)], PLAN, torch.device("cpu"))
    expected = (torch.zeros(7).softmax(0) + torch.arange(7.0).softmax(0)) / 2
    assert found.top == (6, 5, 4, 3, 2)
    assert found.score == pytest.approx(float(expected[6]))


def test_unreadable_samples_count_as_wrong() -> None:
    dark = torch.zeros(1, 2, 3, 4, 4, dtype=torch.uint8)
    found = predict(
        Brightness(),
        [SampleViews("a", 0, None, "a: broken"), SampleViews("b", 0, dark + 255)],
        PLAN,
        torch.device("cpu"),
    )
    counts = TopK()
    for prediction in found:
        counts.add(prediction)
    assert counts.metrics == {"top1": 0.0, "top5": 0.0}
    assert counts.failures == ["a: broken"]
    counts.add(Prediction("c", 3, (3, 1), 0.5))
    counts.add(Prediction("d", 1, (3, 1), 0.5))
    assert counts.metrics == {"top1": 25.0, "top5": 50.0}


def test_the_file_of_another_evaluation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    PredictionFile(path, {"model": "a"}).append([Prediction("x", 1, (1, 2), 0.5)])
    assert PredictionFile(path, {"model": "a"}).done == [Prediction("x", 1, (1, 2), 0.5)]
    with pytest.raises(MemvitError, match="another evaluation"):
        PredictionFile(path, {"model": "b"})


def test_scores_that_are_not_finite_end_the_evaluation() -> None:
    views = torch.full((1, 2, 3, 4, 4), 255, dtype=torch.uint8)
    model = nn.Sequential(Brightness(), nn.Threshold(0.5, float("nan")))
    with pytest.raises(MemvitError, match="a: the model's scores are not finite numbers"):
        predict(model, [SampleViews("a", 0, views)], PLAN, torch.device("cpu"))


@pytest.mark.parametrize(("done", "left"), [(0, [0, 1, 2, 3]), (1, [1, 2, 3]), (2, [2, 3]), (4, [])])
def test_a_sample_that_is_listed_twice_is_predicted_twice(done: int, left: list[int], tmp_path: Path) -> None:
    listed = [("a.mp4", 1), ("b.mp4", 0), ("a.mp4", 1), ("a.mp4", 2)]
    path = tmp_path / "predictions.jsonl"
    PredictionFile(path, {}).append(Prediction(name, label, (1,), 0.5) for name, label in listed[:done])
    assert PredictionFile(path, {}).remaining_indices(listed) == left
