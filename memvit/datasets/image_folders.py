"""Reads images such as ImageNet's from a tree with one folder per class."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as images

from memvit.models import Preprocessing
from memvit.types import MemvitError, SourceError


class LabelledImages:
    """Images of a folder tree as uint8 tensors. Classes are the subfolders in alphabetical order."""

    def __init__(self, root: str | Path, preprocessing: Preprocessing, *, num_classes: int) -> None:
        """MemvitError if there is no such folder, or it has other classes than the model."""
        try:
            folder = ImageFolder(str(root))
        except FileNotFoundError as error:
            raise MemvitError(f"{root}: a folder with a subfolder of images for each class is expected") from error
        if len(folder.classes) != num_classes:
            raise MemvitError(f"{root}: {len(folder.classes)} classes, but the model has {num_classes}")
        self.preprocessing = preprocessing
        self.samples: list[tuple[Path, int]] = [(Path(path), label) for path, label in folder.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def training_image(self, index: int) -> Tensor:
        """The image at its own size, (1, 3, H, W). SourceError if it cannot be decoded."""
        return _decode(self.samples[index][0])

    def evaluation_image(self, index: int, crop_ratio: float) -> Tensor:
        """The centre, (1, 1, 3, side, side), after a bicubic resize of the short side to side / `crop_ratio`."""
        side = self.preprocessing.short_side
        image = images.resize(
            _decode(self.samples[index][0]),
            [round(side / crop_ratio)],
            interpolation=InterpolationMode.BICUBIC,
            antialias=True,
        )
        return images.center_crop(image, [side, side]).unsqueeze(0)


def _decode(path: Path) -> Tensor:
    try:
        with Image.open(path) as image:
            return torch.as_tensor(images.pil_to_tensor(image.convert("RGB"))).unsqueeze(0)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise SourceError(f"{path}: this image cannot be decoded ({error})") from error
