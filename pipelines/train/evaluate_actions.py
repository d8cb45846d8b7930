"""Evaluates a model of people's actions on each test video once, in order, and computes the official mAP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from memvit.datasets.ava import read_annotations
from memvit.datasets.ava_files import AvaTable, read_exclusions, read_label_map, read_table
from memvit.engine.settings import choose_device
from memvit.evaluation.actions import detections_table, score_keyframes
from memvit.evaluation.ava import Metrics, evaluate
from memvit.json_text import json_text
from memvit.models import MeMViT
from memvit.training.actions import open_footage
from memvit.training.recipe import ActionRecipe
from memvit.types import MemvitError

from .data_paths import check_data_paths
from .run import open_model


def evaluate_actions(
    recipe: ActionRecipe,
    checkpoint: Path | None,
    out: Path,
    *,
    remember: bool,
    on_start: Callable[[int], None],
    on_progress: Callable[[int], None],
) -> Metrics:
    """The official mAP on the recipe's test set, written to `out/metrics.json`; detections to `out/detections.csv`."""
    choice = recipe.model
    if checkpoint is not None:
        choice = replace(choice, checkpoint=str(checkpoint), pretrained=False, inflate=None)
    if choice.checkpoint is None and not choice.pretrained:
        raise MemvitError("nothing to evaluate: pass --checkpoint FILE, or model.pretrained=true")
    check_data_paths(recipe, only_test=True)
    model, entry, report = open_model(choice)
    if not isinstance(model, MeMViT) or model.config.head.kind != "action":
        raise MemvitError(f"{choice.name} does not answer for people; choose a memvit_*.ava_* model")
    if report is None or report.new:
        raise MemvitError(
            f"{choice.checkpoint or choice.name}: {report or 'weights are new'}; an untrained head cannot be evaluated"
        )
    data, classes = recipe.data, model.config.head.num_classes
    truth = read_table(data.val_groundtruth)
    files = ([], [data.val_boxes]) if data.val_boxes else ([data.val_groundtruth], [])
    videos = read_annotations(*files, num_classes=classes, score_threshold=data.score_threshold)
    on_start(sum(len(video.keyframes) for video in videos))
    scored = score_keyframes(
        model.to(choose_device(recipe.run.device)),
        entry.preprocessing,
        videos,
        open_footage(data),
        data.hop_seconds,
        recipe.run.batch_size,
        remember=remember,
        on_progress=on_progress,
    )
    found = detections_table(scored)
    out.mkdir(parents=True, exist_ok=True)
    write_detections(found, out / "detections.csv")
    exclusions = read_exclusions(data.val_exclusions) if data.val_exclusions else None
    metrics = evaluate(truth, found, exclusions, label_map=read_label_map(data.label_map))
    (out / "metrics.json").write_text(json_text(metrics, indent=1) + "\n", "utf-8")
    return metrics


def write_detections(found: AvaTable, path: Path) -> None:
    """Write lines video,second,x1,y1,x2,y2,action,score with the official number of digits."""
    columns = (found.videos, found.seconds, *found.boxes.T, found.actions, found.last)
    with path.open("w") as file:
        for video, second, x1, y1, x2, y2, action, score in zip(*columns, strict=True):
            file.write(f"{video},{second:04d},{x1:.3f},{y1:.3f},{x2:.3f},{y2:.3f},{action},{score:.4f}\n")


def per_class(metrics: Metrics) -> list[tuple[str, float]]:
    """Each action with its average precision, best first."""
    return sorted(metrics["AP@0.5IOU"].items(), key=lambda item: -np.nan_to_num(item[1]))
