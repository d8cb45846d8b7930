"""Look for objects in pictures, and write what was found as it comes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from PIL import Image

from memvit.datasets.pictures import read_picture
from memvit.detection import Detections, Detector
from memvit.detection.coco import results_of
from memvit.labels import Labels
from memvit.os_errors import sentence_of
from memvit.types import MemvitError
from pipelines.detect.draw import draw_detections
from pipelines.detect.pictures import Picture
from pipelines.stopping import stop_requested

RESULTS, IMAGES = "detections.json", "images.json"


@dataclass(frozen=True)
class DetectOptions:
    """How pictures are read, and what is written of them."""

    out: Path
    short_side: int | None = 800
    """None: pictures are not resized."""
    long_side: int = 1333
    masks: bool = True
    annotate: bool = False
    """Write each picture with its objects."""
    min_shown_score: float = 0.5
    """Objects with a lower score are not drawn."""


@dataclass
class DetectSummary:
    """What was done."""

    pictures: int = 0
    objects: int = 0
    failures: list[str] = field(default_factory=list)
    """A sentence for each picture that could not be read."""
    interrupted: bool = False
    files: list[Path] = field(default_factory=list)


class JsonListWriter:
    """A JSON list that is written entry by entry, and whole once it is closed."""

    def __init__(self, path: Path) -> None:
        """MemvitError if the file cannot be created."""
        self.path, self._empty = path, True
        try:
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise MemvitError(sentence_of(error, path)) from error

    def write(self, entry: Any) -> None:
        """Add an entry."""
        try:
            self._file.write(("[\n" if self._empty else ",\n") + json.dumps(entry))
        except OSError as error:
            raise MemvitError(sentence_of(error, self.path)) from error
        self._empty = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._file:
            self._file.write("[]\n" if self._empty else "\n]\n")


def detect(
    pictures: Sequence[Picture],
    detector: Detector,
    options: DetectOptions,
    on_picture: Callable[[Picture, Detections | None], None] = lambda picture, detections: None,
) -> DetectSummary:
    """Write the objects of all pictures as COCO's results, the list of pictures, and the pictures on request.

    A picture that cannot be read stops no other. Ctrl-C ends it after the picture at hand, with every file finished.
    MemvitError if a file cannot be written.
    """
    labels = Labels(detector.categories.names)
    summary = DetectSummary()
    options.out.mkdir(parents=True, exist_ok=True)
    results, images = JsonListWriter(options.out / RESULTS), JsonListWriter(options.out / IMAGES)
    summary.files = [results.path, images.path]
    names: set[str] = set()
    with stop_requested() as stopping, results, images:
        for picture in pictures:
            if stopping.is_set():
                summary.interrupted = True
                break
            try:
                pixels = read_picture(picture.path)
            except MemvitError as error:
                summary.failures.append(str(error))
                on_picture(picture, None)
                continue
            tensor = torch.from_numpy(pixels).permute(2, 0, 1)
            (found,) = detector(
                [tensor], short_side=options.short_side, long_side=options.long_side, masks=options.masks
            )
            height, width = pixels.shape[:2]
            images.write({"id": picture.image_id, "file_name": picture.path.name, "width": width, "height": height})
            for row in results_of(found, picture.image_id, detector.categories.ids):
                results.write(row)
            if options.annotate:
                shown = found.select(found.scores >= options.min_shown_score)
                _save(draw_detections(pixels, shown, labels), options.out / _free_name(picture.path, names))
            summary.pictures += 1
            summary.objects += len(found)
            on_picture(picture, found)
    return summary


def _save(pixels: Any, path: Path) -> None:
    try:
        Image.fromarray(pixels).save(path, quality=90)
    except OSError as error:
        raise MemvitError(sentence_of(error, path)) from error


def _free_name(path: Path, taken: set[str]) -> str:
    """`street.jpg`; `street_2.jpg` where another picture of the same name was written."""
    name, number = f"{path.stem}.jpg", 1
    while name in taken:
        number += 1
        name = f"{path.stem}_{number}.jpg"
    taken.add(name)
    return name
