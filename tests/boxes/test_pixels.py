"""Boxes in pixels, as the AVA reference makes them."""

from __future__ import annotations

import numpy as np
import pytest

from memvit.boxes.pixels import boxes_in_pixels

BOX = np.array([[0.25, 0.5, 0.75, 1.0], [-0.005, 0.0, 1.0, 0.5]], dtype=np.float32)


@pytest.mark.parametrize(
    ("source", "size", "expected"),
    [
        # 854×480 → floor(398.53) × 224: the factor is 398/854 of both axes, not 224/480 of the height.
        ((854, 480), (398, 224), [[99.5, 111.850117, 298.5, 223], [0, 0, 397, 111.850117]]),
        ((480, 854), (224, 398), [[55.925059, 199, 167.775176, 397], [0, 0, 223, 199]]),
        ((320, 320), (224, 224), [[56, 112, 168, 223], [0, 0, 223, 112]]),
    ],
)
def test_both_axes_have_the_factor_of_the_longer_side(
    source: tuple[int, int], size: tuple[int, int], expected: list[list[float]]
) -> None:
    found = boxes_in_pixels(BOX, size, source)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32


def test_frames_that_are_not_resized() -> None:
    np.testing.assert_array_equal(boxes_in_pixels(BOX, (340, 224)), [[85, 112, 255, 223], [0, 0, 339, 112]])
    np.testing.assert_array_equal(boxes_in_pixels(BOX, (340, 224), (340, 224)), boxes_in_pixels(BOX, (340, 224)))


def test_boxes_are_clipped_before_they_are_scaled() -> None:
    """300×200 enlarged to 336×224: the last pixel of the source, 299 and 199, lies at 334.88 and 222.88."""
    found = boxes_in_pixels(np.array([[0, 0, 1, 1]], dtype=np.float32), (336, 224), (300, 200))
    np.testing.assert_allclose(found, [[0, 0, 334.88, 222.88]], rtol=1e-6)
