"""What training a detector begins with, and what it leaves behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import distributed as dist

from memvit.detection import DetectorEntry, Selection, detector_entry
from memvit.detection.checkpoints import load_weights, save_own
from memvit.detection.coco import Categories
from memvit.detection.learning import LearningNetwork, LearningRule, initialise_heads
from memvit.detection.learning.batch_norm import share_batch_norms
from memvit.json_text import json_text
from memvit.models import LoadReport, model_entry
from memvit.models.create import published_weights
from memvit.models.mvit import initialise
from memvit.training.detection import DetectionTask
from memvit.training.detection_recipe import DetectorChoice
from memvit.training.recipe import DetectionRecipe
from memvit.training.recipe_file import recipe_yaml
from memvit.training.run_state import RunState
from memvit.training.world import World
from memvit.types import MemvitError


def open_network(choice: DetectorChoice) -> tuple[LearningNetwork, DetectorEntry, LoadReport | None]:
    """The network of a recipe with its initial weights, and the report of loading them; None if all are new."""
    entry = detector_entry(choice.name)
    if choice.pretrained + choice.pretrained_backbone + (choice.checkpoint is not None) > 1:
        raise MemvitError("model.pretrained, model.pretrained_backbone and model.checkpoint exclude each other")
    backbone = entry.config.backbone
    if choice.drop_path is not None:
        backbone = replace(backbone, drop_path=choice.drop_path)
    classes = entry.config.num_classes if choice.num_classes is None else choice.num_classes
    if classes < 1:
        raise MemvitError(f"model.num_classes={classes}: this must be at least 1")
    proposals = Selection(proposals_per_level=choice.proposals_per_level, proposals=choice.proposals)
    config = replace(entry.config, backbone=backbone, num_classes=classes)
    network = LearningNetwork(config, LearningRule(proposals, choice.boxes))
    initialise(network.backbone, backbone.init_std)
    initialise_heads(network)
    path: str | Path | None = choice.checkpoint
    if choice.pretrained:
        path = published_weights(choice.name, entry.weights)
    elif choice.pretrained_backbone:
        path = published_weights(entry.backbone, model_entry(entry.backbone).weights)
    return network, entry, load_weights(network, path, new_classes=True) if path else None


def detection_task(recipe: DetectionRecipe, world: World) -> tuple[DetectionTask, str]:
    """The task of a recipe, and a sentence that says which weights were loaded."""
    network, entry, report = open_network(recipe.model)
    if world.size > 1 and dist.is_initialized():
        # A group of its own: what batch norms exchange must not mix with the gradients of another bucket.
        share_batch_norms(network, dist.new_group())
    return DetectionTask(recipe, network, entry, world), str(report) if report else "weights are new"


def export_detector(recipe: DetectionRecipe, task: DetectionTask, state: RunState, path: Path) -> None:
    """Write the trained detector with the names of its classes."""
    pictures = task.train_set.pictures
    source = json_text({"recipe": recipe_yaml(recipe), "steps": state.total_steps, **state.metrics})
    categories = Categories(pictures.category_ids, pictures.names)
    save_own(task.detector().network, path, recipe.model.name, categories, source)
