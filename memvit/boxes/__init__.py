"""Sources of the people's boxes: a file, a detector, or the whole frame."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from memvit.types import Clip, MemvitError, PersonBoxes

__all__ = ["BoxSource", "open_boxes"]


class BoxSource(Protocol):
    """Gives the boxes of the people in a clip."""

    wants_centre_image: bool
    """Whether clips must contain the frame at their centre."""

    def boxes(self, clips: Sequence[Clip]) -> list[PersonBoxes]:
        """The boxes of the people of each clip, in the order of the clips. A clip may have none."""


def open_boxes(
    spec: str, *, weights: str | Path | None = None, device: str = "cpu", score_threshold: float | None = None
) -> BoxSource:
    """The source that `spec` names: `full`, the path of an AVA-format CSV, or the name of a torchvision detector.

    MemvitError if it is none of these, or if the file or the weights cannot be read.
    """
    if weights is not None and (spec == "full" or spec.endswith(".csv")):
        raise MemvitError(f"--boxes {spec} needs no weights; leave --boxes-weights out or name a detector")
    if spec == "full":
        from .full import FullFrame

        return FullFrame()
    if spec.endswith(".csv"):
        from .ava_csv import AvaBoxes

        return AvaBoxes(spec, score_threshold=score_threshold)
    from .detector import TorchvisionDetector, detector_names

    names = detector_names()
    if spec not in names:
        near = difflib.get_close_matches(spec, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"detectors are {', '.join(names)}"
        raise MemvitError(f"--boxes {spec}: use full, the path of a .csv file, or a detector; {hint}")
    return TorchvisionDetector(spec, weights=weights, device=device, score_threshold=score_threshold)
