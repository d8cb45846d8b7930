"""How people move: a Kalman filter that counts seconds, for all people of a stream at once.

A box is four numbers: x and y of its centre, and the logarithms of its width and height. The speed of each wanders
about zero and is forgotten with time (an Ornstein-Uhlenbeck process). So the uncertainty of a person who is not seen
grows with the seconds, however many frames they had. The four numbers are independent: no matrix is inverted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memvit.tracking.settings import TrackerSettings

Floats = NDArray[np.float64]

WIDTHS_PER_HEIGHT = 0.4
"""Width / height of a standing person. It gives the person's height in units of the picture's width."""
TAILS = 6.0
"""Degrees of freedom of Student's t: surprising boxes are punished less than by a normal distribution."""


def box_numbers(xyxy: Floats) -> Floats:
    """(N, 4) xyxy → (N, 4) centre x, centre y, log width, log height."""
    return np.concatenate(((xyxy[:, :2] + xyxy[:, 2:]) / 2, np.log(xyxy[:, 2:] - xyxy[:, :2])), axis=1)


@dataclass(frozen=True)
class Motion:
    """What is known of the boxes of T people."""

    values: Floats
    """(T, 5, 4): for each of the four numbers of a box its mean, its mean speed, the variance of the number, the
    covariance of number and speed, and the variance of the speed."""

    @staticmethod
    def start(numbers: Floats, settings: TrackerSettings) -> Motion:
        """People who were seen once, as (T, 4) numbers of boxes: their speed is not known."""
        unit, zeros = _units(numbers), np.zeros_like(numbers)
        errors, speeds = (unit * _errors(settings)) ** 2, (unit * _speeds(settings)) ** 2
        return Motion(np.stack((numbers, zeros, errors, zeros, speeds), axis=1))

    @property
    def numbers(self) -> Floats:
        """(T, 4) expected numbers of the boxes."""
        return self.values[:, 0]

    def xyxy(self) -> Floats:
        """(T, 4) expected boxes."""
        half = np.exp(self.numbers[:, 2:]) / 2
        return np.concatenate((self.numbers[:, :2] - half, self.numbers[:, :2] + half), axis=1)

    def place_deviation(self) -> Floats:
        """(T,) standard deviation of where each person is sideways, in heights of the person."""
        return np.sqrt(self.values[:, 2, 0]) / _units(self.numbers)[:, 0]

    def predict(self, seconds: float, settings: TrackerSettings) -> Motion:
        """The same people some seconds later: the exact solution of the process."""
        number, speed, variance, covariance, speed_variance = np.moveaxis(self.values, 1, 0)
        ratio = seconds / settings.speed_seconds
        kept = np.exp(-ratio)
        moved = settings.speed_seconds * (1 - kept)
        usual = (_units(number) * _speeds(settings)) ** 2
        wandered = max(settings.speed_seconds**2 * (2 * ratio - 3 + 4 * kept - kept**2), 0.0)
        return Motion(
            np.stack(
                (
                    number + moved * speed,
                    kept * speed,
                    variance + 2 * moved * covariance + moved**2 * speed_variance + wandered * usual,
                    kept * (covariance + moved * speed_variance) + settings.speed_seconds * (1 - kept) ** 2 * usual,
                    kept**2 * speed_variance + (1 - kept**2) * usual,
                ),
                axis=1,
            )
        )

    def correct(self, numbers: Floats, settings: TrackerSettings) -> Motion:
        """What is known of T people once their boxes, as (T, 4) numbers, have been found."""
        number, speed, variance, covariance, speed_variance = np.moveaxis(self.values, 1, 0)
        total = variance + (_units(number) * _errors(settings)) ** 2
        gain, speed_gain, off = variance / total, covariance / total, numbers - number
        return Motion(
            np.stack(
                (
                    number + gain * off,
                    speed + speed_gain * off,
                    (1 - gain) * variance,
                    (1 - gain) * covariance,
                    speed_variance - speed_gain * covariance,
                ),
                axis=1,
            )
        )

    def log_odds(self, numbers: Floats, settings: TrackerSettings) -> Floats:
        """(T, N) log odds that each of N boxes, as (N, 4) numbers, is each person rather than anybody.

        Anybody is one box for each square of the person's height, of any size within a factor e.
        """
        unit = _units(self.numbers)
        return _log_density(self.numbers, self.values[:, 2] / unit**2 + _errors(settings) ** 2, unit, numbers)


def log_odds_around(last: Floats, seconds: Floats, numbers: Floats, settings: TrackerSettings) -> Floats:
    """(T, N) as `Motion.log_odds`, for people of whom only the last box, as (T, 4) numbers, and its age are known."""
    variance = (_speeds(settings) * seconds[:, None]) ** 2 + _errors(settings) ** 2
    return _log_density(last, variance, _units(last), numbers)


def _log_density(mean: Floats, variance: Floats, unit: Floats, numbers: Floats) -> Floats:
    """(T, N) log density of Student's t, up to a constant; the variance is in units."""
    off = (numbers[None] - mean[:, None]) / unit[:, None]
    surprise = (off**2 / variance[:, None]).sum(axis=2)
    return -0.5 * ((TAILS + 4) * np.log1p(surprise / TAILS) + np.log(variance).sum(axis=1)[:, None])


def _units(numbers: Floats) -> Floats:
    """(T, 4) what each of the four numbers is measured in: for the centre the height of the person, else 1."""
    unit = np.ones_like(numbers)
    unit[:, :2] = np.exp(numbers[:, 2:])
    unit[:, 0] /= WIDTHS_PER_HEIGHT
    return unit


def _speeds(settings: TrackerSettings) -> Floats:
    """(4,) standard deviation of the speed of each number, in units a second."""
    return np.array([settings.speed, settings.speed / 2, settings.growth, settings.growth])


def _errors(settings: TrackerSettings) -> Floats:
    """(4,) standard deviation of the detector's error of each number, in units."""
    return np.array(
        [settings.centre_error * WIDTHS_PER_HEIGHT, settings.centre_error, settings.width_error, settings.height_error]
    )
