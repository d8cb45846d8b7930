"""Fits a linear head: logistic regression with an L2 penalty, in which both classes weigh the same.

Features are standardised. Where there are fewer examples than features, they are first turned into the coordinates of
the space that they span, in which the solution lies: 20 examples are a problem of 20 unknowns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .validation import Validation, folds_of, validate

PENALTIES = (10.0, 1.0, 0.1, 0.01, 0.001)
"""Strengths of the penalty that are tried, the strongest first; of equally good ones the strongest is taken."""
DEFAULT_PENALTY = 0.1
"""Where there are too few examples to choose one."""
MAX_STEPS = 200


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted head."""

    weight: NDArray[np.float32]
    """(C,), for features as they are stored."""
    bias: float
    """So that a score of 0.5 is the threshold that `validation` chose; without one, that of equal odds."""
    penalty: float
    validation: Validation | None
    """None if there are fewer than two examples of a class."""


def fit(
    features: NDArray[np.floating[Any]], is_action: NDArray[np.bool_], groups: NDArray[Any], times: NDArray[Any]
) -> Fit:
    """Fit a head to (N, C) features with (N,) answers.

    `groups` (N,) says which examples belong together, as those of a video do: cross-validation never learns from a
    group that it tests. `times` (N,) orders the examples of a group. Raises ValueError if a class has no example.
    """
    if not is_action.any() or is_action.all():
        raise ValueError("examples of both classes are needed")
    space = _Space.of(np.asarray(features, dtype=np.float64))
    folds, by = folds_of(is_action, groups, times)
    best: Validation | None = None
    penalty = DEFAULT_PENALTY
    for tried in PENALTIES if folds is not None else ():
        assert folds is not None
        found = validate(_held_out(space.rows, is_action, folds, tried), is_action, by)
        if best is None or found.average_precision > best.average_precision + 1e-9:
            best, penalty = found, tried
    weight, bias = space.outside(*_logistic(space.rows, is_action, penalty))
    if best is not None:
        bias -= best.threshold_logit
    return Fit(weight.astype(np.float32), bias, penalty, best)


def _held_out(
    rows: NDArray[np.float64], is_action: NDArray[np.bool_], folds: NDArray[np.int64], penalty: float
) -> NDArray[np.float64]:
    """Return the logit of each example from a head that did not learn from the example's fold."""
    logits = np.zeros(len(rows))
    for fold in np.unique(folds):
        held = folds == fold
        weight, bias = _logistic(rows[~held], is_action[~held], penalty)
        logits[held] = rows[held] @ weight + bias
    return logits


@dataclass(frozen=True, eq=False)
class _Space:
    """Examples in the coordinates in which they are fitted."""

    rows: NDArray[np.float64]
    """(N, R)"""
    basis: NDArray[np.float64] | None
    """(R, C) orthonormal rows; None if the coordinates are the standardised features."""
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @staticmethod
    def of(features: NDArray[np.float64]) -> _Space:
        mean, scale = features.mean(axis=0), features.std(axis=0)
        scale[scale < 1e-6 * max(float(scale.max()), 1e-30)] = 1.0
        rows = (features - mean) / scale
        if len(rows) >= rows.shape[1]:
            return _Space(rows, None, mean, scale)
        left, sizes, basis = np.linalg.svd(rows, full_matrices=False)
        return _Space(left * sizes, basis, mean, scale)

    def outside(self, weight: NDArray[np.float64], bias: float) -> tuple[NDArray[np.float64], float]:
        """Return weight and bias for features as they were given."""
        whole = weight if self.basis is None else weight @ self.basis
        whole = whole / self.scale
        return whole, float(bias - self.mean @ whole)


def _logistic(
    rows: NDArray[np.float64], is_action: NDArray[np.bool_], penalty: float
) -> tuple[NDArray[np.float64], float]:
    """Return the weight (R,) and bias with the smallest mean loss plus penalty · |weight|² / 2."""
    from scipy.optimize import minimize  # type: ignore[import-untyped]

    shares = np.where(is_action, 0.5 / is_action.sum(), 0.5 / (~is_action).sum())
    signs = np.where(is_action, 1.0, -1.0)

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weight = values[:-1]
        margins = signs * (rows @ weight + values[-1])
        total = float(shares @ np.logaddexp(0, -margins) + 0.5 * penalty * (weight @ weight))
        small = np.exp(-np.abs(margins))
        slopes = -signs * shares * np.where(margins >= 0, small, 1.0) / (1 + small)
        return total, np.append(rows.T @ slopes + penalty * weight, slopes.sum())

    start = np.zeros(rows.shape[1] + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": MAX_STEPS})
    return found.x[:-1], float(found.x[-1])
