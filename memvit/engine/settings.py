"""Builds the engine, the labels and the source of boxes from names and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from memvit.boxes import BoxSource, open_boxes
from memvit.boxes.ava_csv import AvaBoxes
from memvit.engine.engine import Engine
from memvit.engine.heads import labels_with_heads
from memvit.labels import Labels, check_labels, labels_for, read_labels
from memvit.models import (
    CheckpointError,
    MeMViT,
    ModelEntry,
    MViT,
    Preprocessing,
    load_model,
    load_safetensors,
    model_entry,
    read_metadata,
    state_digest,
)
from memvit.runtime import Precision
from memvit.runtime.cpu.onednn import can_pack
from memvit.teaching.head import HeadError, ModelIdentity, load_head
from memvit.types import MemvitError

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")


def choose_device(name: str) -> torch.device:
    """`auto` is a GPU if there is one; MemvitError if there is no such device."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise MemvitError(f"device {name}: no such device; use cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise MemvitError(f"device {name}: this machine has no GPU that torch can use; use cpu")
    if device.type == "cuda" and device.index is not None and device.index >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise MemvitError(f"device {name}: there is no such GPU; use cuda:0" + (f" to cuda:{last}" if last else ""))
    return device


def choose_precision(name: str, device: torch.device) -> Precision:
    """`auto` is bfloat16 on a GPU and float32 elsewhere. MemvitError if the device does not support it."""
    if name == "auto":
        return "bfloat16" if device.type == "cuda" else "float32"
    chosen = next((precision for precision in PRECISIONS if precision == name), None)
    if chosen is None:
        raise MemvitError(f"precision {name}: use one of {', '.join(PRECISIONS)}, or auto")
    if chosen == "int8" and not (device.type == "cpu" and can_pack(int8=True)):
        raise MemvitError(f"precision int8 is for CPUs that oneDNN knows, not for {device}; use bfloat16")
    return chosen


CHECKPOINT_SUFFIXES = (".safetensors", ".pth", ".pt", ".pyth", ".pkl")
DEFAULT_MODEL = "memvit_16_16x4.ava_k400"
DEFAULT_BOXES = "fasterrcnn_mobilenet_v3_large_320_fpn"


def model_name(name: str | None, checkpoint: Path | None) -> str:
    """The name of the model that `open_engine` builds from these arguments."""
    description = read_metadata(checkpoint) if checkpoint and name is None else None
    return description.name if description else name or DEFAULT_MODEL


def open_people(
    engine: Engine, spec: str | None, *, weights: Path | None = None, score_threshold: float | None = None
) -> BoxSource | None:
    """The source of boxes for an action model, `DEFAULT_BOXES` if `spec` is None; None for a clip classifier."""
    if not engine.wants_boxes:
        return None
    return open_boxes(
        spec or DEFAULT_BOXES,
        weights=weights,
        device=str(engine.device),
        precision="bfloat16" if engine.precision == "bfloat16" else "float32",
        score_threshold=score_threshold,
    )


def open_engine(
    name: str | None,
    checkpoint: Path | None,
    *,
    random_weights: bool = False,
    labels: Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    remember: bool = True,
) -> tuple[Engine, Labels]:
    """An engine with trained weights, or with random ones if `random_weights`, and the names of its classes.

    See `open_model` for how the weights are chosen.
    """
    chosen = choose_device(device)
    model, preprocessing, names = open_model(name, checkpoint, random_weights=random_weights, labels=labels)
    engine = Engine(
        model, preprocessing, device=chosen, precision=choose_precision(precision, chosen), remember=remember
    )
    return engine, names


def open_model(
    name: str | None, checkpoint: Path | None, *, random_weights: bool = False, labels: Path | None = None
) -> tuple[MeMViT | MViT, Preprocessing, Labels]:
    """A model, how its clips are made, and the names of its classes.

    Weights come from `checkpoint`, else from the published file. A checkpoint that describes itself needs no `name`. A
    file that lacks weights of a part of the model is refused: its results would be noise.
    """
    description = read_metadata(checkpoint) if checkpoint else None
    if description is not None and checkpoint is not None and name in (None, description.name):
        model, description = load_safetensors(checkpoint)
        preprocessing, names = description.preprocessing, Labels(description.classes, description.first_id)
    else:
        name = name or DEFAULT_MODEL
        entry = model_entry(name)
        model = _trained(name, entry, checkpoint, random_weights=random_weights)
        preprocessing, names = entry.preprocessing, labels_for(model.config.head.num_classes, entry.dataset)
    if labels is not None:
        names = read_labels(labels)
        check_labels(names, model.config.head.num_classes, labels)
    return model, preprocessing, names


@dataclass(frozen=True)
class ModelSettings:
    """What an engine is built from, as plain values that can be sent to another process."""

    model: str | None = None
    checkpoint: Path | None = None
    random_weights: bool = False
    labels: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    remember: bool = True
    boxes: str | None = None
    boxes_weights: Path | None = None
    boxes_threshold: float | None = None
    heads: tuple[Path, ...] = ()
    """Files of taught actions, which are added to those of the model."""

    def check_boxes(self, videos: Sequence[str]) -> None:
        """Check a CSV file of boxes before a model is loaded. MemvitError if it has no boxes of these videos."""
        if self.boxes is not None and self.boxes.endswith(".csv"):
            boxes = open_boxes(self.boxes, weights=self.boxes_weights, score_threshold=self.boxes_threshold)
            if isinstance(boxes, AvaBoxes):
                boxes.check_videos(videos)

    def build(self) -> tuple[Engine, Labels, BoxSource | None]:
        """The engine, the names of its classes, and the source of boxes. MemvitError if one cannot be opened."""
        engine, names = open_engine(
            self.model,
            self.checkpoint,
            random_weights=self.random_weights,
            labels=self.labels,
            device=self.device,
            precision=self.precision,
            remember=self.remember,
        )
        if self.heads:
            names = add_heads(engine, names, self.heads, model_name(self.model, self.checkpoint))
        people = open_people(engine, self.boxes, weights=self.boxes_weights, score_threshold=self.boxes_threshold)
        return engine, names, people


def add_heads(engine: Engine, names: Labels, paths: Sequence[Path], model: str) -> Labels:
    """Let an engine answer for taught actions, too; returns the names of all actions. `model` is the engine's name.

    HeadError if a file is no head, was taught with another model, or has the name of another action.
    """
    heads = [load_head(path) for path in paths]
    identity = model_identity(engine, model)
    for head, path in zip(heads, paths, strict=True):
        head.check_model(identity, path)
        if head.reads == "people" and not engine.wants_boxes:
            raise HeadError(f"{path}: this head reads people, and the model classifies whole clips")
    engine.heads = tuple(heads)
    return labels_with_heads(names, heads, paths)


def model_identity(engine: Engine, model: str) -> ModelIdentity:
    """Return the model of an engine, as the file of a head names it. `model` is its name."""
    network = engine.model
    return ModelIdentity.of(
        model,
        state_digest(network.state_dict()),
        network.config.plain(),
        asdict(engine.preprocessing),
        remember=engine.plan is not None,
    )


def _trained(name: str, entry: ModelEntry, checkpoint: Path | None, *, random_weights: bool) -> MeMViT | MViT:
    if random_weights and checkpoint:
        raise MemvitError("--random-weights and --checkpoint exclude each other")
    if not (random_weights or checkpoint or (entry.weights and entry.weights.url)):
        raise MemvitError(f"{name} has no published weights; pass --checkpoint FILE, or --random-weights to try it")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # random weights are the same ones every time
        model, report = load_model(name, pretrained=not (random_weights or checkpoint), checkpoint=checkpoint)
    if report is not None and report.new:
        raise CheckpointError(f"{checkpoint}: {report}; train those first, or choose the model that the file is of")
    return model
