"""Detectors with golden weights, from files as detectron2 writes them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch

from memvit.detection import Detector, create_detector
from tests import shared
from tests.conftest import GOLDEN
from tests.golden import fill_detection

FOLDER = GOLDEN / "detection"
SHAPES = {
    "mask_rcnn_mvitv2_t.coco": "mask_rcnn_mvitv2_t_3x",
    "cascade_mask_rcnn_mvitv2_t.coco": "cascade_mask_rcnn_mvitv2_t_3x",
    "cascade_mask_rcnn_mvitv2_s.coco": "cascade_mask_rcnn_mvitv2_s_3x",
    "cascade_mask_rcnn_mvitv2_b.coco": "cascade_mask_rcnn_mvitv2_b_in21k_3x",
    "cascade_mask_rcnn_mvitv2_b.coco_in21k": "cascade_mask_rcnn_mvitv2_b_in21k_3x",
    "cascade_mask_rcnn_mvitv2_l.coco_in21k": "cascade_mask_rcnn_mvitv2_l_in21k_lsj_50ep",
    "cascade_mask_rcnn_mvitv2_h.coco_in21k": "cascade_mask_rcnn_mvitv2_h_in21k_lsj_3x",
}
"""Name of a detector → stem of the file of its official parameters' names and shapes."""


def official_shapes(name: str) -> dict[str, list[int]]:
    """Official names and shapes of the parameters of a detector."""
    shapes: dict[str, list[int]] = json.loads((FOLDER / f"{SHAPES[name]}.shapes.json").read_text())
    return shapes


def official_file(name: str) -> Path:
    """A full .pkl of golden weights as detectron2 releases them. It is made once a run."""

    def make(path: Path) -> None:
        state = fill_detection.state_dict(official_shapes(name))
        arrays = {key: value.numpy() for key, value in state.items()}
        path.write_bytes(pickle.dumps({"model": arrays, "__author__": "x"}))

    return shared.made_once(f"{name}.pkl", make)


def images(*pictures: tuple[str, int, int]) -> list[torch.Tensor]:
    """Golden pictures by name, height and width."""
    return [torch.from_numpy(fill_detection.image(*picture)) for picture in pictures]


@pytest.fixture(scope="session")
def mask_rcnn() -> Detector:
    """Mask R-CNN T with golden weights."""
    return create_detector("mask_rcnn_mvitv2_t.coco", checkpoint=official_file("mask_rcnn_mvitv2_t.coco"))


@pytest.fixture(scope="session")
def cascade() -> Detector:
    """Cascade Mask R-CNN T with golden weights."""
    name = "cascade_mask_rcnn_mvitv2_t.coco"
    return create_detector(name, checkpoint=official_file(name))


@pytest.fixture(scope="session")
def tiny_detector() -> Detector:
    """The tiny detector, with weights that find something."""
    detector = create_detector("mask_rcnn_mvitv2_tiny")
    state = detector.network.state_dict()
    detector.network.load_state_dict({name: fill_detection.weight(name, value.shape) for name, value in state.items()})
    return detector
