"""Top-1 and top-5 accuracy of a classifier over several views of each sample; can be resumed at any sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from memvit.models import Preprocessing
from memvit.models.preprocessing import normalised
from memvit.runtime.threads import is_small, one_thread
from memvit.types import MemvitError

from .line_file import LineFile


@dataclass(frozen=True)
class SampleViews:
    """All views of a sample of a test set."""

    name: str
    label: int
    pixels: Tensor | None
    """(views, T, 3, side, side) uint8; None if the sample could not be read."""
    failure: str = ""
    """Why it could not be read."""


@dataclass(frozen=True)
class Prediction:
    """A model's prediction for a sample."""

    name: str
    label: int
    top: tuple[int, ...]
    """The five classes with the highest mean score, best first; empty if the sample could not be read."""
    score: float
    """Mean score of the first of these classes."""
    failure: str = ""


@dataclass
class TopK:
    """Counts samples whose class is predicted first, or among the first five."""

    samples: int = 0
    top1: int = 0
    top5: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, prediction: Prediction) -> None:
        """Count a prediction. A sample that could not be read counts as wrong."""
        self.samples += 1
        self.top1 += prediction.top[:1] == (prediction.label,)
        self.top5 += prediction.label in prediction.top[:5]
        if prediction.failure:
            self.failures.append(prediction.failure)

    @property
    def metrics(self) -> dict[str, float]:
        """Top-1 and top-5 accuracy in percent."""
        samples = max(self.samples, 1)
        return {"top1": 100 * self.top1 / samples, "top5": 100 * self.top5 / samples}


@torch.inference_mode()
def predict(
    model: nn.Module, samples: Sequence[SampleViews], preprocessing: Preprocessing, device: torch.device
) -> list[Prediction]:
    """Predict the classes of samples from their mean softmax scores over views."""
    model.eval()
    readable = [sample for sample in samples if sample.pixels is not None]
    scores: dict[str, Tensor] = {}
    if readable:
        pixels = torch.cat([sample.pixels for sample in readable if sample.pixels is not None]).to(device)
        with one_thread(device.type == "cpu" and is_small(model)):
            logits = class_logits(model, normalised(pixels, preprocessing))
        counts = [len(sample.pixels) for sample in readable if sample.pixels is not None]
        means = [part.mean(0) for part in logits.float().softmax(-1).split(counts)]
        _check_finite(readable, means)
        scores = {sample.name: mean.cpu() for sample, mean in zip(readable, means, strict=True)}
    return [_prediction(sample, scores.get(sample.name)) for sample in samples]


def _check_finite(samples: Sequence[SampleViews], means: Sequence[Tensor]) -> None:
    for sample, mean in zip(samples, means, strict=True):
        if not mean.isfinite().all():
            raise MemvitError(
                f"{sample.name}: the model's scores are not finite numbers; its weights are damaged or training went "
                "wrong: use another checkpoint"
            )


def class_logits(model: nn.Module, clips: Tensor) -> Tensor:
    """(B, 3, T, H, W) → (B, classes), for models with and without memory. Images are clips of one frame."""
    out = model(clips)
    logits: Tensor = out[0] if isinstance(out, tuple) else out
    return logits


def _prediction(sample: SampleViews, scores: Tensor | None) -> Prediction:
    if scores is None:
        return Prediction(sample.name, sample.label, (), 0.0, sample.failure)
    best = scores.topk(min(5, len(scores)))
    return Prediction(sample.name, sample.label, tuple(best.indices.tolist()), float(best.values[0]))


class PredictionFile:
    """A `LineFile` with a prediction per sample."""

    def __init__(self, path: Path, identity: dict[str, object]) -> None:
        """`identity` describes model and data. MemvitError if the file belongs to another evaluation."""
        self._lines = LineFile(path, identity)
        self.done = [Prediction(**{**entry, "top": tuple(entry["top"])}) for entry in self._lines.entries]

    def remaining_indices(self, identities: Sequence[tuple[str, int]]) -> list[int]:
        """Indices of the samples, as (name, class), that are not in the file yet. A sample may occur several times."""
        done = Counter((prediction.name, prediction.label) for prediction in self.done)
        places = []
        for place, identity in enumerate(identities):
            if done[identity]:
                done[identity] -= 1
            else:
                places.append(place)
        return places

    def append(self, predictions: Iterable[Prediction]) -> None:
        """Append predictions. Each line is complete when this returns."""
        added = list(predictions)
        self.done.extend(added)
        self._lines.append(map(vars, added))


def evaluate(
    model: nn.Module,
    batches: Iterable[list[SampleViews]],
    preprocessing: Preprocessing,
    device: torch.device,
    *,
    into: PredictionFile | None = None,
    on_progress: Callable[[TopK], None] = lambda counts: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TopK:
    """Evaluate all batches, adding to the predictions in `into`. Stops after a batch if `should_stop` is true."""
    counts = TopK()
    for prediction in into.done if into else ():
        counts.add(prediction)
    for batch in batches:
        predictions = predict(model, batch, preprocessing, device)
        if into is not None:
            into.append(predictions)
        for prediction in predictions:
            counts.add(prediction)
        on_progress(counts)
        if should_stop():
            break
    return counts
