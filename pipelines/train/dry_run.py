"""Checks a training run: model and data are opened, but nothing is trained and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from memvit.datasets.ava import AvaVideo
from memvit.datasets.coco import CocoPictures
from memvit.engine.settings import choose_device
from memvit.models import MeMViT, MViT
from memvit.training.actions import ActionTask
from memvit.training.classification import ClassificationTask, Samples
from memvit.training.detection import DetectionTask
from memvit.training.footprint import Footprint, detector_footprint, footprint
from memvit.training.loop import Trainer
from memvit.training.recipe import Recipe
from memvit.training.run_state import check_same_recipe, last_run
from memvit.training.world import World
from memvit.types import MemvitError

from .run import build_task, exporter


@dataclass(frozen=True)
class DryRun:
    """What a training run would do, and what it would miss."""

    model: str
    parameters: int
    weights: str
    training: str
    test: str
    missing: tuple[str, ...]
    """A sentence for each video or sample that the data lists name and that does not exist."""
    workers: int
    batch_size: int
    accumulate: int
    steps_per_epoch: int
    epochs: int
    memory: Footprint
    out: str
    beginning: str
    """How a run in this folder would begin: as a new run, or where it would continue."""

    @property
    def activation_bytes(self) -> int:
        """Activations of the largest share of a batch that one process has."""
        return self.memory.activations * -(-self.batch_size // self.workers)

    def lines(self) -> Iterator[str]:
        """The report for people."""
        fixed = self.memory.parameters + self.memory.gradients + self.memory.optimizer
        accumulated = f", {self.accumulate} batches a step" if self.accumulate > 1 else ""
        yield f"model     {self.model}, {self.parameters / 1e6:.1f} M parameters; {self.weights}"
        yield f"training  {self.training}"
        yield f"test      {self.test}"
        yield f"batch     {self.batch_size} over {self.workers} processes{accumulated}"
        yield f"steps     {self.steps_per_epoch} an epoch, {self.epochs} epochs: {self.steps_per_epoch * self.epochs}"
        yield f"memory    of each process: {gigabytes(fixed)} for weights, gradients and optimizer,"
        yield f"          about {gigabytes(self.activation_bytes)} for activations (less with checkpointing)"
        yield f"folder    {self.out}: {self.beginning}"
        if self.missing:
            yield f"missing   {len(self.missing)} files, the first: {self.missing[0]}"


def dry_run(recipe: Recipe, workers: int) -> DryRun:
    """Check a recipe as `workers` processes would start it. MemvitError if the run would fail at its start."""
    choose_device(recipe.run.device)
    world = World(0, workers)
    task, note = build_task(recipe, world)
    model = task.model
    exporter(recipe, task)
    trainer = Trainer(task, recipe, device=torch.device("cpu"), world=World())
    if isinstance(task, DetectionTask):
        learned, held_out_pictures = task.train_set.pictures, task.test_set
        training, test = _pictures(learned, task.train_set.ids), _pictures(held_out_pictures, held_out_pictures.ids)
        missing = [*_missing_pictures(learned), *_missing_pictures(held_out_pictures)]
        memory = detector_footprint(task.network, task.largest_picture, recipe)
    elif isinstance(task, ActionTask):
        assert isinstance(model, MeMViT | MViT)
        training, test = (_videos(videos) for videos in (task.train_videos, task.test_videos))
        missing, side = _missing_footage(task), task.side or model.config.crop
        memory = footprint(model, task.preprocessing, side, recipe)
    else:
        assert isinstance(task, ClassificationTask) and isinstance(model, MeMViT | MViT)
        samples, held_out = task.train_set.samples, task.test_set.samples
        training, test = f"{len(samples)} samples", f"{len(held_out)} samples"
        missing = [*_missing_samples(samples), *_missing_samples(held_out)]
        memory = footprint(model, task.preprocessing, model.config.crop, recipe)
    return DryRun(
        model=recipe.model.name,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        weights=note,
        training=training,
        test=test,
        missing=tuple(missing),
        workers=workers,
        batch_size=recipe.run.batch_size,
        accumulate=recipe.run.accumulate,
        steps_per_epoch=trainer.steps_per_epoch,
        epochs=recipe.schedule.epochs,
        memory=memory,
        out=recipe.run.out,
        beginning=_beginning(recipe),
    )


def gigabytes(size: int) -> str:
    """A number of bytes for people, in GB or MB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _videos(videos: list[AvaVideo]) -> str:
    keyframes = [keyframe for video in videos for keyframe in video.keyframes]
    boxes = sum(len(keyframe.boxes) for keyframe in keyframes)
    return f"{len(videos)} videos, {len(keyframes)} keyframes, {boxes} boxes"


def _missing_footage(task: ActionTask) -> list[str]:
    """One sentence for each video without footage."""
    found = {}
    for video in (*task.train_videos, *task.test_videos):
        if task.footage.frames is not None:
            folder = task.footage.frames / task.footage.folders.get(video.name, video.name)
            if not folder.is_dir():
                found[video.name] = f"{folder}: there is no such folder of frames"
        else:
            try:
                task.footage.find(video.name)
            except MemvitError as error:
                found[video.name] = str(error)
    return list(found.values())


def _pictures(pictures: CocoPictures, ids: list[int]) -> str:
    return f"{len(ids)} pictures, {sum(len(pictures.rows[number]) for number in ids)} objects"


def _missing_pictures(pictures: CocoPictures) -> list[str]:
    paths = (pictures.path(number) for number in pictures.ids)
    return [f"{path}: there is no such file" for path in paths if not path.exists()]


def _missing_samples(samples: Samples) -> list[str]:
    videos = getattr(samples, "videos", ())  # image folders list what is there
    return [f"{video.path}: there is no such file" for video in videos if not video.path.exists()]


def _beginning(recipe: Recipe) -> str:
    folder = Path(recipe.run.out)
    content = last_run(folder)
    if content is None:
        return "a new run"
    check_same_recipe(content["recipe"], recipe, folder)
    state = content["state"]
    if state["epoch"] >= recipe.schedule.epochs:
        return "a finished run, which is left as it is"
    return f"goes on from epoch {state['epoch'] + 1}, step {state['step']}"
