"""One scheme of colours: brighter is higher, zero is the background, people can be told apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from memvit.results.colours import (
    GROUND,
    INK,
    MEMORY,
    NOBODY,
    PAPER,
    PEOPLE,
    PRESENT,
    lightness,
    person_colour,
    score_colour,
    score_scale,
)


def test_a_higher_score_is_brighter_and_zero_is_the_background() -> None:
    light = lightness(score_scale())
    assert (np.diff(light) > 0).all()
    assert score_colour(0.0) == score_colour(-1.0) == GROUND
    assert score_colour(1.0) == score_colour(2.0) and lightness(np.array(score_colour(1.0))) > 0.9
    # Perceptual: each tenth is about as much lighter as any other.
    tenths = np.diff(light[np.linspace(0, 255, 11).round().astype(int)])
    assert tenths.min() > 0.6 * tenths.max()


def test_people_have_colours_by_number() -> None:
    assert person_colour(1) == PEOPLE[0] and person_colour(len(PEOPLE) + 1) == PEOPLE[0]
    assert person_colour(-1) == NOBODY and NOBODY not in PEOPLE
    assert person_colour(0) in PEOPLE, "numbers that a file gives may begin with 0"
    assert min(np.abs(np.subtract(*pair)).sum() for pair in combinations(PEOPLE, 2)) > 40


@pytest.mark.parametrize("colour", [*PEOPLE, MEMORY, PRESENT])
def test_dark_text_is_legible_on_colours_and_light_text_on_the_ground(colour: tuple[int, int, int]) -> None:
    assert contrast(INK, colour) > 7 and contrast(PAPER, GROUND) > 7


def contrast(first: tuple[int, int, int], second: tuple[int, int, int]) -> float:
    """The contrast ratio of WCAG 2."""

    def luminance(colour: tuple[int, int, int]) -> float:
        values = np.array(colour) / 255
        linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722)) + 0.05

    low, high = sorted((luminance(first), luminance(second)))
    return high / low
