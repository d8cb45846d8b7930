"""How people move: a Kalman filter in seconds, for all people of a stream at once.

A box is four numbers: the centre x and y, and the logarithms of width and height. Each has a speed that wanders about
zero and is forgotten with time (an Ornstein-Uhlenbeck process), so that the uncertainty of a person who is not seen
grows like √seconds and not without bound. The four are independent of each other: no matrix is inverted.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from memvit.tracking.settings import TrackerSettings

Floats = NDArray[np.float64]

WIDTHS_PER_HEIGHT = 0.4
"""Width / height of a standing person: this turns the width of a box into a height in units of the picture's width."""


def as_state(xyxy: Floats) -> Floats:
    """(N, 4) xyxy → (N, 4) centre x, centre y, log width, log height."""
    size = xyxy[:, 2:] - xyxy[:, :2]
    return np.concatenate(((xyxy[:, :2] + xyxy[:, 2:]) / 2, np.log(size)), axis=1)


def units(state: Floats) -> Floats:
    """(N, 4) → (N, 4) what speeds and errors of each number are measured in: the height of the person, or 1."""
    unit = np.ones_like(state)
    unit[:, :2] = np.exp(state[:, 2:])
    unit[:, 0] /= WIDTHS_PER_HEIGHT
    return unit


@dataclass
class Motion:
    """The state of T people: all arrays are (T, 4) float64."""

    place: Floats
    speed: Floats
    place_variance: Floats
    covariance: Floats
    speed_variance: Floats

    @staticmethod
    def start(state: Floats, settings: TrackerSettings) -> Motion:
        """People who were seen once: their speed is unknown."""
        unit = units(state)
        zeros = np.zeros_like(state)
        return Motion(state.copy(), zeros, (unit * errors(settings)) ** 2, zeros.copy(), (unit * speeds(settings)) ** 2)

    def predict(self, seconds: Floats, settings: TrackerSettings) -> Motion:
        """The state after (T,) seconds."""
        tau = settings.speed_seconds
        unit = units(self.place)
        stationary = (unit * speeds(settings)) ** 2
        a = np.exp(-seconds / tau)[:, None]
        b = tau * (1 - a)
        # The exact discretisation of the process.
        new_speed = stationary * (1 - a * a)
        new_covariance = stationary * tau * (1 - a) ** 2
        new_place = stationary * tau * tau * (2 * seconds[:, None] / tau - 3 + 4 * a - a * a)
        return Motion(
            self.place + b * self.speed,
            a * self.speed,
            self.place_variance + 2 * b * self.covariance + b * b * self.speed_variance + np.maximum(new_place, 0),
            a * (self.covariance + b * self.speed_variance) + new_covariance,
            a * a * self.speed_variance + new_speed,
        )

    def correct(self, state: Floats, settings: TrackerSettings) -> Motion:
        """The state after (T, 4) measured boxes, at the instant of this state."""
        noise = (units(self.place) * errors(settings)) ** 2
        total = self.place_variance + noise
        gain, speed_gain = self.place_variance / total, self.covariance / total
        off = state - self.place
        return Motion(
            self.place + gain * off,
            self.speed + speed_gain * off,
            (1 - gain) * self.place_variance,
            (1 - gain) * self.covariance,
            self.speed_variance - speed_gain * self.covariance,
        )

    def log_likelihood(self, state: Floats, settings: TrackerSettings) -> Floats:
        """(N, 4) measured boxes → (T, N) log density, in units of the person, up to a constant."""
        unit = units(self.place)
        total = self.place_variance / unit**2 + errors(settings) ** 2
        off = (state[None] - self.place[:, None]) / unit[:, None]
        return -0.5 * ((off**2 / total[:, None]).sum(axis=2) + np.log(total).sum(axis=1)[:, None])

    def select(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Motion:
        """The people at these places."""
        return Motion(*(getattr(self, field.name)[index] for field in fields(self)))

    def replace(self, index: NDArray[np.intp], other: Motion) -> None:
        """Put the people of `other` in these places."""
        for field in fields(self):
            getattr(self, field.name)[index] = getattr(other, field.name)

    def join(self, other: Motion) -> Motion:
        """The people of both."""
        return Motion(
            *(np.concatenate((getattr(self, field.name), getattr(other, field.name))) for field in fields(self))
        )


def speeds(settings: TrackerSettings) -> Floats:
    """(4,) standard deviations of the speed of each number, in units a second."""
    return np.array([settings.speed, settings.speed / 2, settings.size_change, settings.size_change])


def errors(settings: TrackerSettings) -> Floats:
    """(4,) standard deviations of a detector's error of each number, in units."""
    centre = settings.centre_error
    return np.array([centre * WIDTHS_PER_HEIGHT, centre, settings.size_error, settings.size_error])
