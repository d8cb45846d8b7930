"""Where the people are: from a file, from a detector, or the whole frame."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from memvit.types import Clip, MemvitError, PersonBoxes

__all__ = ["BoxSource", "open_boxes"]


class BoxSource(Protocol):
    """Something that knows where the people of a clip are."""

    wants_centre_image: bool
    """Whether clips must bring the frame at their centre."""

    def boxes(self, clips: Sequence[Clip]) -> list[PersonBoxes]:
        """The people of each clip, in order; none is legal."""


def open_boxes(
    spec: str, *, weights: str | Path | None = None, device: str = "cpu", score_threshold: float | None = None
) -> BoxSource:
    """`full`, the path of an AVA-format CSV, or the name of a torchvision detector → boxes.

    MemvitError if it is none of these, or what it names cannot be read.
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
