"""ImageNet's layout: classes from folders, the published evaluation crop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from memvit.datasets.image_folders import LabelledImages
from memvit.models import Preprocessing
from memvit.types import MemvitError, SourceError

PLAN = Preprocessing(1, 1, short_side=28)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, mode in (("n01", "RGB"), ("n02", "L")):
        (tmp_path / name).mkdir()
        pixels = np.random.default_rng(0).integers(0, 255, (48, 72, 3), np.uint8)
        Image.fromarray(pixels).convert(mode).save(tmp_path / name / "a.jpg")
    return tmp_path


def test_images_and_classes(folder: Path) -> None:
    images = LabelledImages(folder, PLAN, num_classes=2)
    assert [label for _, label in images.samples] == [0, 1]
    assert images.training_image(1).shape == (1, 3, 48, 72), "grey images have three channels, too"


def test_evaluation_resizes_then_crops(folder: Path) -> None:
    images = LabelledImages(folder, PLAN, num_classes=2)
    view = images.evaluation_image(0, 0.875)
    assert view.shape == (1, 1, 3, 28, 28)
    with Image.open(folder / "n01" / "a.jpg") as image:
        resized = image.resize((48, 32), Image.Resampling.BICUBIC)
    expected = np.asarray(resized.crop((10, 2, 38, 30)), dtype=np.float32)
    assert np.abs(view[0, 0].permute(1, 2, 0).numpy().astype(np.float32) - expected).mean() < 2


def test_other_classes_than_the_model_s(folder: Path) -> None:
    with pytest.raises(MemvitError, match="2 classes, but the model has 1000"):
        LabelledImages(folder, PLAN, num_classes=1000)
    with pytest.raises(MemvitError, match="a subfolder of images for each class"):
        LabelledImages(folder / "nowhere", PLAN, num_classes=2)


def test_a_broken_image(folder: Path) -> None:
    (folder / "n01" / "a.jpg").write_bytes(b"\xff\xd8\xff no image")
    with pytest.raises(SourceError, match=r"a\.jpg"):
        LabelledImages(folder, PLAN, num_classes=2).training_image(0)
    assert torch.is_tensor(LabelledImages(folder, PLAN, num_classes=2).training_image(1))
