"""Reads files of pictures as a detector takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from memvit.types import Image as Pixels
from memvit.types import MemvitError

MAX_PIXELS = 2**27
"""Of a picture; a larger one would take several GB in a detector's maps, and is no photograph."""


def read_picture(path: Path) -> Pixels:
    """(H, W, 3) uint8 RGB, upright. MemvitError if the file is no picture, damaged, or too large."""
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise MemvitError(f"{path}: {image.width} × {image.height} pixels are too many; make it smaller")
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except UnidentifiedImageError as error:
        raise MemvitError(f"{path}: this is not a picture") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MemvitError(f"{path}: this picture cannot be read ({error})") from error
