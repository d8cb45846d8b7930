"""Evaluates a detector on a recipe's test pictures, or on COCO-O. What was found is written picture by picture, so a
killed evaluation goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from memvit.datasets.coco import CocoPictures
from memvit.detection import Detector, detector_entry
from memvit.detection.create import load_detector
from memvit.engine.settings import choose_device
from memvit.evaluation.coco import evaluate
from memvit.evaluation.detection import DOMAINS, PictureRows, effective_robustness, measured, rows_of_pictures
from memvit.evaluation.line_file import LineFile
from memvit.json_text import json_text
from memvit.training.detection import test_folder, test_sides
from memvit.training.recipe import DetectionRecipe
from memvit.types import MemvitError
from pipelines.stopping import stop_requested

from .data_paths import check_data_paths
from .evaluate import file_digest

Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class DetectionEvaluation:
    """The result of an evaluation."""

    figures: dict[str, Figures]
    """COCO's twelve figures of boxes and masks of each set: of `val`, or of each domain of COCO-O."""
    summary: dict[str, float]
    """Box AP and mask AP in percent; of COCO-O, the mean of the domains and effective robustness."""
    pictures: int
    failures: tuple[str, ...]
    interrupted: bool
    path: Path


def evaluate_detection(
    recipe: DetectionRecipe,
    checkpoint: Path | None,
    out: Path,
    on_start: Callable[[int], None],
    on_progress: Callable[[int, int], None],
) -> DetectionEvaluation:
    """COCO's figures, written to `out/metrics.json`; objects to `detections.json`.

    `on_progress` is told how many pictures are done, and how many objects were found in them.
    """
    check_data_paths(recipe, only_test=True)
    detector, weights = open_trained(recipe, checkpoint)
    sets = test_sets(recipe, detector)
    on_start(sum(len(pictures) for pictures in sets.values()))
    short_side, long_side = test_sides(recipe, detector.entry)
    found: dict[str, list[PictureRows]] = {}
    with stop_requested() as stopping:
        for name, pictures in sets.items():
            folder = out if len(sets) == 1 else out / name
            identity: dict[str, object] = {
                "model": recipe.model.name,
                "weights": weights,
                "instances": file_digest(pictures.instances.path),
                "sides": [short_side, long_side],
                "masks": recipe.data.masks,
            }
            file = LineFile(folder / "pictures.jsonl", identity)
            done = found[name] = [PictureRows(**entry) for entry in file.entries]
            known = {picture.image_id for picture in done}
            left = [number for number in pictures.ids if number not in known]
            _progress(found, on_progress)
            new = rows_of_pictures(detector, pictures, left, short_side, long_side, masks=recipe.data.masks)
            for _ in left:
                if stopping.is_set():
                    break
                picture = next(new)
                file.append([asdict(picture)])
                done.append(picture)
                _progress(found, on_progress)
            if len(done) == len(pictures):
                rows = [row for picture in done for row in picture.rows]
                (folder / "detections.json").write_text(json.dumps(rows), "utf-8")
    total = sum(len(done) for done in found.values())
    failures = tuple(picture.failure for done in found.values() for picture in done if picture.failure)
    path = out / "metrics.json"
    if total < sum(len(pictures) for pictures in sets.values()):
        return DetectionEvaluation({}, {}, total, failures, True, path)
    figures = {
        name: evaluate(pictures.instances, [row for picture in found[name] for row in picture.rows])
        for name, pictures in sets.items()
    }
    summary = summarised(recipe, figures)
    content = {**summary, "figures": figures, "pictures": total, "failed": failures, "model": recipe.model.name}
    path.write_text(json_text({**content, "weights": weights}, indent=1) + "\n", "utf-8")
    return DetectionEvaluation(figures, summary, total, failures, False, path)


def _progress(found: dict[str, list[PictureRows]], on_progress: Callable[[int, int], None]) -> None:
    pictures = [picture for done in found.values() for picture in done]
    on_progress(len(pictures), sum(len(picture.rows) for picture in pictures))


def open_trained(recipe: DetectionRecipe, checkpoint: Path | None) -> tuple[Detector, str]:
    """The detector with trained weights on its device, and what tells these weights apart from others."""
    choice = recipe.model
    path = checkpoint or (Path(choice.checkpoint) if choice.checkpoint else None)
    if path is None and not choice.pretrained:
        raise MemvitError("nothing to evaluate: pass --checkpoint FILE, or model.pretrained=true")
    detector, report = load_detector(
        choice.name, checkpoint=path, pretrained=path is None, num_classes=choice.num_classes
    )
    if report is not None and report.new:
        raise MemvitError(f"{path}: {report}; untrained layers cannot be evaluated")
    return detector.to(choose_device(recipe.run.device)), file_digest(path) if path else "published"


def test_sets(recipe: DetectionRecipe, detector: Detector) -> dict[str, CocoPictures]:
    """The test pictures of a recipe, or those of each domain of COCO-O. MemvitError if something is missing."""
    data, classes = recipe.data, detector.network.config.num_classes
    if data.domains is None:
        if not (data.val or data.train):
            raise MemvitError("the recipe names no data; pass data.val=… and data.val_pictures=…")
        return {"val": CocoPictures(data.val or data.train, test_folder(recipe), num_classes=classes)}
    root = Path(data.domains)
    missing = [domain for domain in DOMAINS if not (root / domain).is_dir()]
    if missing:
        raise MemvitError(f"{root}: COCO-O has a folder for each domain; these are missing: {', '.join(missing)}")
    return {
        domain: CocoPictures(
            root / domain / "annotations" / "instances_val2017.json", root / domain / "val2017", num_classes=classes
        )
        for domain in DOMAINS
    }


def summarised(recipe: DetectionRecipe, figures: dict[str, Figures]) -> dict[str, float]:
    """Box AP and mask AP in percent; over the domains of COCO-O, their mean and effective robustness."""
    if recipe.data.domains is None:
        return measured(figures["val"])
    each = {f"{name}_box_ap": measured(of_set)["box_ap"] for name, of_set in figures.items()}
    mean = sum(each.values()) / len(each)
    coco = recipe.data.coco_box_ap
    if coco is None:
        coco = detector_entry(recipe.model.name).box_ap
    summary = {**each, "mean_box_ap": mean}
    return summary if coco is None else {**summary, "effective_robustness": effective_robustness(mean, coco)}
