"""Fitting a head: few examples of many features, balance of the classes, honest figures, the threshold."""

from __future__ import annotations

import numpy as np
import pytest

from memvit.teaching import Head
from memvit.teaching.fit import _logistic, _Space, fit
from memvit.teaching.suggest import spread
from memvit.teaching.validation import average_precision, folds_of, validate
from tests.teaching.test_head import MODEL


def drawn(rows: int, channels: int, seed: int, share: float = 0.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of which one direction tells the answer, answers, and videos of ten rows each."""
    random = np.random.default_rng(seed)
    answers = random.random(rows) < share
    features = random.standard_normal((rows, channels)) + 3.0 * answers[:, None] * (np.arange(channels) < 2)
    return (features * 5 + 100).astype(np.float32), answers, np.arange(rows) // 10


@pytest.mark.parametrize("channels", [8, 300])
def test_a_head_answers_for_rows_that_it_has_not_seen(channels: int) -> None:
    features, answers, videos = drawn(200, channels, seed=0)
    found = fit(features, answers, videos, np.arange(200))
    head = Head("it", "clips", MODEL, found.weight, found.bias)
    new, truth, _ = drawn(500, channels, seed=1)
    assert average_precision(head.scores(new), truth) > 0.9
    assert found.validation is not None and found.validation.by == "video"
    assert found.validation.average_precision == pytest.approx(average_precision(head.scores(new), truth), abs=0.08)
    assert ((head.scores(new) >= 0.5) == truth).mean() > 0.85


def test_the_space_of_few_examples_holds_the_solution() -> None:
    """With as many features as examples, and with more, the same loss is as small as it can be."""
    features, answers, _ = drawn(30, 12, seed=3)
    wide = np.concatenate((features, features[:, ::-1] * 2 + 1, features**2), axis=1).astype(np.float64)
    space = _Space.of(wide)
    assert space.basis is not None
    standard = (wide - space.mean) / space.scale
    weight, bias = _logistic(standard, answers, 0.1)
    small, small_bias = _logistic(space.rows, answers, 0.1)
    assert standard @ weight + bias == pytest.approx(space.rows @ small + small_bias, abs=2e-3)
    whole, whole_bias = space.outside(small, small_bias)
    assert wide @ whole + whole_bias == pytest.approx(space.rows @ small + small_bias, abs=1e-6)


def test_both_classes_weigh_the_same() -> None:
    features, answers, _ = drawn(60, 5, seed=4)
    rows = _Space.of(features.astype(np.float64)).rows
    often = np.repeat(np.arange(60), np.where(answers, 1, 30))
    weight, bias = _logistic(rows, answers, 0.1)
    repeated, repeated_bias = _logistic(rows[often], answers[often], 0.1)
    assert np.append(repeated, repeated_bias) == pytest.approx(np.append(weight, bias), abs=1e-3)


def test_no_video_is_learnt_from_and_tested() -> None:
    answers = np.tile([True, False, False], 12)
    videos = np.repeat(np.arange(6), 6)
    folds, by = folds_of(answers, videos, np.arange(36))
    assert folds is not None and by == "video" and len(set(folds)) == 5
    assert all(len(set(folds[videos == video])) == 1 for video in range(6))
    folds, by = folds_of(answers, np.zeros(36), np.arange(36))
    assert folds is not None and by == "time"
    assert folds[answers].tolist() == sorted(folds[answers].tolist())
    one = np.arange(36) == 5
    assert folds_of(one, videos, np.arange(36))[0] is None


def test_noise_gets_no_good_figure() -> None:
    random = np.random.default_rng(0)
    answers = random.random(100) < 0.5
    features = np.repeat(random.standard_normal((10, 40)), 10, axis=0)  # each video looks like itself only
    found = fit(features.astype(np.float32), answers, np.arange(100) // 10, np.arange(100)).validation
    assert found is not None and found.average_precision < 0.75


def test_precision_and_recall_are_those_of_counting() -> None:
    random = np.random.default_rng(0)
    logits, answers = np.round(random.standard_normal(50), 1), random.random(50) < 0.3
    found = validate(logits, answers, "video")
    for point, precision, recall in zip(found.logits, found.precisions, found.recalls, strict=True):
        counted = logits >= point
        assert precision == pytest.approx(answers[counted].mean())
        assert recall == pytest.approx(answers[counted].sum() / answers.sum())
    at = logits >= found.threshold_logit
    assert (found.precision, found.recall) == pytest.approx((answers[at].mean(), answers[at].sum() / answers.sum()))
    best = max(2 * p * r / (p + r) for p, r in zip(found.precisions, found.recalls, strict=True) if p + r)
    assert 2 * found.precision * found.recall / (found.precision + found.recall) == pytest.approx(best)


def test_one_example_of_a_class_is_enough_to_fit_but_not_to_judge() -> None:
    features, _, videos = drawn(10, 4, seed=0)
    found = fit(features, np.arange(10) == 3, videos, np.arange(10))
    assert found.validation is None
    with pytest.raises(ValueError, match="both classes"):
        fit(features, np.zeros(10, dtype=bool), videos, np.arange(10))


def test_chosen_rows_are_far_from_each_other() -> None:
    random = np.random.default_rng(0)
    vectors = np.repeat(np.eye(4), 5, axis=0) + 0.01 * random.standard_normal((20, 4))
    assert sorted(row // 5 for row in spread(vectors, 4)) == [0, 1, 2, 3]
    assert sorted(spread(vectors, 50)) == list(range(20))
