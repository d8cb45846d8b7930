"""What a detector finds in the pictures of a test set, as COCO's results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from memvit.datasets.coco import CocoPictures
from memvit.detection import Detector
from memvit.detection.coco import results_of
from memvit.types import MemvitError

EFFECTIVE = 0.45
"""Effective robustness is the AP on COCO-O above this part of the AP on COCO. Source: COCO-O, arXiv 2307.12730."""
DOMAINS = ("sketch", "weather", "cartoon", "painting", "tattoo", "handmake")
"""COCO-O's."""


@dataclass(frozen=True)
class PictureRows:
    """One picture of a test set."""

    image_id: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Its objects as entries of COCO's results."""
    failure: str | None = None
    """A sentence, if it could not be read."""


def rows_of_pictures(
    detector: Detector,
    pictures: CocoPictures,
    ids: Sequence[int],
    short_side: int,
    long_side: int,
    *,
    masks: bool = True,
) -> Iterator[PictureRows]:
    """What is found in each of the pictures `ids`, in their order; pictures are computed one at a time."""
    masks = masks and pictures.instances.has_masks
    for image_id in ids:
        try:
            pixels = pictures.picture(image_id)
        except MemvitError as error:
            yield PictureRows(image_id, failure=str(error))
            continue
        (found,) = detector([pixels], short_side=short_side, long_side=long_side, masks=masks)
        yield PictureRows(image_id, results_of(found, image_id, pictures.category_ids))


def measured(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    """COCO's figures → box AP and, where there are masks, mask AP, in percent."""
    names = {"bbox": "box_ap", "segm": "mask_ap"}
    return {names[kind]: 100 * of_kind["AP"] for kind, of_kind in figures.items()}


def effective_robustness(mean_ap: float, coco_ap: float) -> float:
    """How much better, in points of AP, than what detectors usually keep of their AP on COCO."""
    return mean_ap - EFFECTIVE * coco_ap
