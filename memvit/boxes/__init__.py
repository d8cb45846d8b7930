"""Sources of the people's boxes: a file, a detector, or the whole frame."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from memvit.types import Clip, DetectionSize, Image, MemvitError, PersonBoxes

__all__ = ["BoxSource", "PersonDetector", "detection_size_of", "open_boxes"]


class BoxSource(Protocol):
    """Gives the boxes of the people in a clip."""

    def boxes(self, clips: Sequence[Clip]) -> list[PersonBoxes]:
        """The boxes of the people of each clip, in the order of the clips. A clip may have none.

        They have numbers where the source itself knows who is who.
        """


@runtime_checkable
class PersonDetector(BoxSource, Protocol):
    """A source that finds the people in images: its clips must have their centre image."""

    detection_size: DetectionSize
    """The size to which it makes larger images smaller."""
    score_threshold: float
    """Boxes with a lower score are no people by themselves."""

    def detect(self, images: Sequence[Image]) -> list[PersonBoxes]:
        """The people in each image, ordered by descending score, without numbers. The images may differ in size.

        There are boxes with lower scores than the threshold among them: by these, a person who is known and partly
        hidden is followed.
        """


def detection_size_of(source: BoxSource | None) -> DetectionSize | None:
    """The size of the images that a source needs; None if it needs none."""
    return source.detection_size if isinstance(source, PersonDetector) else None


def open_boxes(
    spec: str,
    *,
    weights: str | Path | None = None,
    device: str = "cpu",
    precision: str = "float32",
    score_threshold: float | None = None,
) -> BoxSource:
    """The source that `spec` names: `full`, the path of an AVA-format CSV, or a detector.

    Detectors are those of `memvit models`, and torchvision's, which run in float32 whatever `precision` is. MemvitError
    if it is none of these, or if the file or the weights cannot be read.
    """
    if weights is not None and (spec == "full" or spec.endswith(".csv")):
        raise MemvitError(f"--boxes {spec} needs no weights; leave --boxes-weights out or name a detector")
    if spec == "full":
        from .full import FullFrame

        return FullFrame()
    if spec.endswith(".csv"):
        from .ava_csv import AvaBoxes

        return AvaBoxes(spec, score_threshold=score_threshold)
    from memvit.detection.zoo import list_detectors

    if spec in list_detectors():
        from .mvit import MViTDetector

        return MViTDetector(spec, weights=weights, device=device, precision=precision, score_threshold=score_threshold)
    from .detector import TorchvisionDetector, detector_names

    names = [*detector_names(), *list_detectors("*.coco*")]
    if spec not in names:
        near = difflib.get_close_matches(spec, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"detectors are {', '.join(names)}"
        raise MemvitError(f"--boxes {spec}: use full, the path of a .csv file, or a detector; {hint}")
    return TorchvisionDetector(spec, weights=weights, device=device, score_threshold=score_threshold)
