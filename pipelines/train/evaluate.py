"""Evaluates a checkpoint on a recipe's test set. Predictions are written to a file, so a killed run can continue."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from memvit.engine.settings import choose_device
from memvit.evaluation.classification import PredictionFile, TopK, evaluate
from memvit.json_text import json_text
from memvit.models import load_model, model_entry
from memvit.training.classification import TestSamples, open_samples, test_batches
from memvit.training.recipe import ClassificationRecipe
from memvit.types import MemvitError
from pipelines.stopping import stop_requested

from .data_paths import check_data_paths
from .run import adjusted


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation."""

    metrics: dict[str, float]
    samples: int
    failures: tuple[str, ...]
    interrupted: bool
    path: Path


def evaluate_classification(
    recipe: ClassificationRecipe,
    checkpoint: Path | None,
    out: Path,
    on_start: Callable[[int], None],
    on_progress: Callable[[TopK], None],
) -> Evaluation:
    """Top-1 and top-5 on `data.val`, written to `out/metrics.json`; predictions to `out/predictions.jsonl`."""
    entry, choice = model_entry(recipe.model.name), recipe.model
    if checkpoint is None and not choice.pretrained and choice.checkpoint is None:
        raise MemvitError("nothing to evaluate: pass --checkpoint FILE, or model.pretrained=true")
    check_data_paths(recipe, only_test=True)
    path = checkpoint or (Path(choice.checkpoint) if choice.checkpoint else None)
    model, report = load_model(
        choice.name,
        pretrained=choice.pretrained and path is None,
        checkpoint=path,
        num_classes=choice.num_classes,
        change=lambda config: adjusted(config, choice),
    )
    if report is not None and report.new:
        raise MemvitError(f"{path}: {report}; an untrained head cannot be evaluated")
    data, device = recipe.data, choose_device(recipe.run.device)
    samples = TestSamples(open_samples(data.val, data, entry, model.config.head.num_classes), data)
    identity: dict[str, object] = {
        "model": choice.name,
        "weights": file_digest(path) if path else "published",
        **asdict(data),
    }
    file = PredictionFile(out / "predictions.jsonl", identity)
    places = file.remaining_indices([samples.identity(place) for place in range(len(samples))])
    views = data.temporal_views * data.spatial_crops
    batches = test_batches(samples, places, max(recipe.run.batch_size // views, 1), recipe.run.loader_workers)
    on_start(len(samples))
    with stop_requested() as stopping:
        counts = evaluate(
            model.to(device),
            batches,
            entry.preprocessing,
            device,
            into=file,
            on_progress=on_progress,
            should_stop=stopping.is_set,
        )
    interrupted = counts.samples < len(samples)
    path_out = out / "metrics.json"
    if not interrupted:
        content = {**counts.metrics, "samples": counts.samples, "failed": counts.failures, **identity}
        path_out.write_text(json_text(content, indent=1) + "\n", "utf-8")
    return Evaluation(counts.metrics, counts.samples, tuple(counts.failures), interrupted, path_out)


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal. MemvitError if it cannot be read."""
    try:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()
    except OSError as error:
        raise MemvitError(f"{path}: the checkpoint cannot be read ({error.strerror}); check the path") from error
