"""The first run of a detector and a model in a process, which is slow."""

from __future__ import annotations

import time

import numpy as np

from memvit.boxes import BoxSource, PersonDetector
from memvit.engine.engine import Engine
from memvit.types import Clip, PersonBoxes

STREAM_ID = "warming up"
FRAME_SIZE = (1920, 1080)
"""(width, height) of the frame that the detector sees."""
WHOLE_FRAME = PersonBoxes(np.array([[0, 0, 1, 1]], np.float32), np.ones(1, np.float32))


def warm_up(engine: Engine, boxes: BoxSource | None) -> tuple[float, float]:
    """Run both twice; returns how many seconds the second detection took, and the second clip.

    The second clip reads the memory of the first. Without a detector, the first number is 0.
    """
    detection_seconds = model_seconds = 0.0
    if isinstance(boxes, PersonDetector):
        width, height = boxes.detection_size.of(*FRAME_SIZE)
        # An empty picture would cost less than a real one.
        image = np.random.default_rng(0).integers(256, size=(height, width, 3), dtype=np.uint8)
        for _ in range(2):
            began = time.monotonic()
            boxes.detect([image])
            detection_seconds = time.monotonic() - began
    preprocessing = engine.preprocessing
    height = preprocessing.short_side
    width = height if preprocessing.crop == "center" else height * 16 // 9
    frames = np.zeros((preprocessing.num_frames, height, width, 3), np.uint8)
    for index in range(2):
        clip = Clip(STREAM_ID, index, float(index), float(index), float(index), frames)
        began = time.monotonic()
        engine.step([clip], [WHOLE_FRAME] if engine.wants_boxes else None)
        model_seconds = time.monotonic() - began
    engine.forget(STREAM_ID)
    return detection_seconds, model_seconds
