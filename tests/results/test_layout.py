"""Labels of people: beside faces, apart from each other, inside the picture, and calm."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from memvit.results.layout import heads, overlap_areas, place_labels

SIZE = (640, 360)
LABEL = (110, 36)


def rectangles(boxes: np.ndarray, sizes: list[tuple[int, int]], size: tuple[int, int] = SIZE) -> np.ndarray:
    found = place_labels(boxes, sizes, size)
    return np.array([(x, y, x + w, y + h) for (_, x, y), (w, h) in zip(found, sizes, strict=True)], dtype=np.float64)


@pytest.mark.parametrize(
    "boxes",
    [
        [(100, 100, 200, 300)],
        [(0, 0, 640, 360)],  # one person fills the picture
        [(0, 0, 100, 360), (540, 0, 640, 360)],  # no room above
        [(100, 60, 220, 350), (150, 80, 270, 350), (230, 70, 330, 350)],  # close together
        [(200, 250, 300, 355), (200, 120, 300, 235), (200, 5, 300, 110)],  # above each other
    ],
)
def test_labels_cover_no_face_and_no_other_label(boxes: list[tuple[int, int, int, int]]) -> None:
    people = np.array(boxes, dtype=np.float64)
    found = rectangles(people, [LABEL] * len(people))
    assert overlap_areas(found, heads(people)).sum() == 0
    shared = overlap_areas(found, found)
    np.fill_diagonal(shared, 0)
    assert shared.sum() == 0
    assert (found[:, :2] >= 0).all() and (found[:, 2:] <= SIZE).all()


def test_a_label_keeps_its_side_until_another_is_much_better() -> None:
    """Above the box there is a little less room with every frame; the label moves once and does not come back."""
    sides, before = [], None
    for top in [40, 37, 34, 33, 34, 37, 38]:
        ((side, _, _),) = place_labels(np.array([[200.0, top, 300.0, 350.0]]), [LABEL], SIZE, [before])
        sides.append(side)
        before = side
    assert len(set(sides)) <= 2 and sum(a != b for a, b in pairwise(sides)) <= 1


def test_a_label_that_is_larger_than_the_picture_begins_at_its_corner() -> None:
    (found,) = rectangles(np.array([[10.0, 10.0, 20.0, 20.0]]), [(900, 400)])
    assert found[0] == 0 and found[1] == 0


def test_nobody_has_no_label() -> None:
    assert place_labels(np.zeros((0, 4)), [], SIZE) == []
