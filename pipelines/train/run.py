"""Trains by a recipe in this process, or in each of several processes, with an orderly stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from memvit.engine.settings import choose_device
from memvit.labels import DATASETS, Labels, labels_for, read_labels
from memvit.models import (
    CheckpointMetadata,
    LoadReport,
    MeMViT,
    ModelEntry,
    MViT,
    MViTConfig,
    load_image_weights,
    load_model,
    model_entry,
    save_safetensors,
)
from memvit.training.actions import ActionTask
from memvit.training.classification import ClassificationTask
from memvit.training.detection import DetectionTask
from memvit.training.loop import Started, Trainer, TrainingEvent, TrainingTask
from memvit.training.recipe import ActionRecipe, ClassificationRecipe, DetectionRecipe, ModelChoice, Recipe
from memvit.training.recipe_file import recipe_yaml
from memvit.training.run_state import RunState
from memvit.training.world import World
from memvit.types import MemvitError
from pipelines.stopping import stop_requested

from .data_paths import check_data_paths
from .detection import detection_task, export_detector

BOX_DROPOUTS = ("box_attention_dropout", "box_qkv_dropout", "box_dropout")


def open_model(choice: ModelChoice) -> tuple[MeMViT | MViT, ModelEntry, LoadReport | None]:
    """The model of a recipe with its initial weights, and the report of loading them; None if all are new."""
    entry = model_entry(choice.name)
    starts = [choice.pretrained, choice.checkpoint is not None, choice.inflate is not None]
    if sum(starts) > 1:
        raise MemvitError("model.pretrained, model.checkpoint and model.inflate exclude each other")
    path = Path(choice.checkpoint) if choice.checkpoint else None
    model, report = load_model(
        choice.name,
        pretrained=choice.pretrained,
        checkpoint=path,
        num_classes=choice.num_classes,
        change=lambda config: adjusted(config, choice),
    )
    if choice.inflate:
        report = load_image_weights(model, choice.inflate)
    return model, entry, report


def adjusted(config: MViTConfig, choice: ModelChoice) -> MViTConfig:
    """A model's config with the changes that a recipe makes to it."""
    head = config.head if choice.dropout is None else replace(config.head, dropout=choice.dropout)
    box_dropouts = {name: getattr(choice, name) for name in BOX_DROPOUTS}
    if any(box_dropouts.values()) and not head.box_blocks:
        name = next(name for name, rate in box_dropouts.items() if rate)
        raise MemvitError(
            f"model.{name}={box_dropouts[name]}: {choice.name} has no attention among boxes; leave it out"
        )
    head = replace(head, **box_dropouts)
    memory = config.memory
    if choice.reads is not None:
        if memory is None:
            raise MemvitError(f"model.reads={list(choice.reads)}: {choice.name} has no memory")
        memory = replace(memory, reads=tuple(choice.reads)) if choice.reads else None
    if choice.slots is not None:
        if memory is None or choice.reads is not None:
            raise MemvitError(f"model.slots={choice.slots}: {choice.name} needs a memory, and no model.reads beside it")
        given = {name: getattr(choice, name) for name in ("slots", "train_horizon", "box_queries")}
        memory = replace(memory, kind="slots", reads=(), **given)
    return replace(config, drop_path=choice.drop_path, head=head, memory=memory)


def build_task(recipe: Recipe, world: World) -> tuple[TrainingTask, str]:
    """The task of a recipe, and a sentence that says which weights were loaded."""
    torch.manual_seed(recipe.run.seed)  # new weights are the same in every process and every start
    if isinstance(recipe, DetectionRecipe):
        return detection_task(recipe, world)
    model, entry, report = open_model(recipe.model)
    note = str(report) if report else "weights are new"
    if isinstance(recipe, ActionRecipe):
        if not isinstance(model, MeMViT) or model.config.head.kind != "action":
            raise MemvitError(f"{recipe.model.name} does not answer for people; choose a memvit_*.ava_* model")
        return ActionTask(recipe, model, entry, world), note
    return ClassificationTask(recipe, model, entry, world), note


def train(
    recipe: Recipe,
    on_event: Callable[[TrainingEvent], None],
    on_note: Callable[[str], None],
    should_stop: Callable[[], bool] = lambda: False,
    device: torch.device | None = None,
) -> tuple[RunState, bool]:
    """Run a recipe to its end, or to an interruption (Ctrl-C, SIGTERM or `should_stop`), which writes a checkpoint.

    `device` is this process's device if the launcher has chosen it. Returns how far the run came, and whether it was
    interrupted.
    """
    check_data_paths(recipe)
    world = World.join()
    device = device or world.device(choose_device(recipe.run.device))
    if device.type == "cuda" and device.index is not None:  # torch refuses `cuda` here, which is the current device
        torch.cuda.set_device(device)  # the device of CUDA calls that name none
    task, note = build_task(recipe, world)
    finish = exporter(recipe, task)  # a missing file must be reported before the run, not after it

    def report(event: TrainingEvent) -> None:
        if isinstance(event, Started):
            on_note(note)  # a resumed run has the weights of its checkpoint
        on_event(event)

    with stop_requested() as stopping:
        trainer = Trainer(task, recipe, device=device, world=world)
        state = trainer.run(report, lambda: stopping.is_set() or should_stop())
    is_done = state.epoch >= recipe.schedule.epochs
    if is_done and world.is_first:
        path = Path(recipe.run.out) / "model.safetensors"
        finish(state, path)
        on_note(f"the model: {path}")
    return state, not is_done


def exporter(recipe: Recipe, task: TrainingTask) -> Callable[[RunState, Path], None]:
    """What writes the trained model. MemvitError if the names of its classes cannot be read."""
    if isinstance(recipe, DetectionRecipe):
        assert isinstance(task, DetectionTask)
        return partial(export_detector, recipe, task)
    return partial(export, recipe, task.model, class_names(recipe, task.model))


def class_names(recipe: ClassificationRecipe | ActionRecipe, model: nn.Module) -> Labels:
    """The names of a recipe's classes, or numbers if nothing names them. MemvitError if a file is malformed."""
    assert isinstance(model, MeMViT | MViT)
    entry, classes = model_entry(recipe.model.name), model.config.head.num_classes
    names = recipe.data.labels or (recipe.data.label_map if isinstance(recipe, ActionRecipe) else None)
    is_file = names is not None and names not in DATASETS
    labels = read_labels(names) if names and is_file else labels_for(classes, names or entry.dataset)
    return labels if len(labels) == classes else labels_for(classes, None)


def export(
    recipe: ClassificationRecipe | ActionRecipe, model: nn.Module, labels: Labels, state: RunState, path: Path
) -> None:
    """Write the trained model as a checkpoint that describes itself."""
    assert isinstance(model, MeMViT | MViT)
    entry = model_entry(recipe.model.name)
    source = {"recipe": recipe_yaml(recipe), "steps": state.total_steps, **state.metrics}
    config = replace(model.config, drop_path=0.0)
    save_safetensors(
        path,
        model,
        CheckpointMetadata(recipe.model.name, config, entry.preprocessing, labels.names, labels.first_id, source),
    )
