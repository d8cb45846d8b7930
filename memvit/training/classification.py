"""Trains a classifier of images or single clips: its data, augmentation, loss and evaluation."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from memvit.datasets.image_folders import LabelledImages
from memvit.datasets.sampling import SeededIndex, epoch_batches, mixed_seed, steps_per_epoch
from memvit.datasets.video_clips import VideoClips
from memvit.datasets.video_lists import read_video_list
from memvit.evaluation.classification import SampleViews, TopK, class_logits, evaluate
from memvit.labels import DATASETS, labels_for, read_labels
from memvit.models import MeMViT, ModelEntry, MViT
from memvit.models.preprocessing import normalised
from memvit.runtime.transfer import sent
from memvit.training.augment import BatchAugmentation, ClipAugmentation
from memvit.training.recipe import Augmentation, ClassificationData, ClassificationRecipe
from memvit.training.world import World
from memvit.types import MemvitError, SourceError

logger = logging.getLogger("memvit")
MAX_UNREADABLE_IN_A_ROW = 20
"""Training fails if this many consecutive samples of a data set cannot be read."""


@dataclass(frozen=True)
class Batch:
    """Samples of a step, augmented but not yet mixed with each other."""

    pixels: Tensor
    """(B, T, 3, side, side) uint8."""
    labels: Tensor
    """(B,) class numbers."""
    names: list[str]
    """Path of each sample's file."""

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, from which copies to a GPU are faster. DataLoader calls this."""
        return Batch(self.pixels.pin_memory(), self.labels.pin_memory(), self.names)


Samples = VideoClips | LabelledImages


class TrainingSamples(Dataset[list[tuple[Tensor, int, str]]]):
    """Maps a `SeededIndex` to `repeats` augmented versions of its sample: (pixels, label, name) of each."""

    def __init__(self, samples: Samples, augment: Augmentation, side: int, decode_short_side: int) -> None:
        self.samples, self.repeats, self.short_side = samples, augment.repeats, decode_short_side
        self.augment = ClipAugmentation(augment, side, of_images=isinstance(samples, LabelledImages))

    def __getitem__(self, sample: SeededIndex) -> list[tuple[Tensor, int, str]]:
        """The augmented sample. One that cannot be read is replaced, with a warning, by the next one that can."""
        index = sample.index
        for _ in range(MAX_UNREADABLE_IN_A_ROW):
            try:
                return self._make(index, sample.seed)
            except SourceError as error:
                logger.warning("%s; the next sample stands in for it", error)
                index = (index + 1) % len(self.samples)
        raise MemvitError(f"{MAX_UNREADABLE_IN_A_ROW} samples in a row cannot be read; check data.root")

    def _make(self, index: int, seed: int) -> list[tuple[Tensor, int, str]]:
        if isinstance(self.samples, VideoClips):
            video = self.samples.videos[index]
            pixels, label, name = self.samples.training_clip(index, seed, self.short_side), video.label, str(video.path)
        else:
            pixels = self.samples.training_image(index)
            path, label = self.samples.samples[index]
            name = str(path)
        return [(self.augment(pixels, mixed_seed(seed, repeat)), label, name) for repeat in range(self.repeats)]


class TestSamples(Dataset[SampleViews]):
    """The samples of a test set in order, each with all its views."""

    def __init__(self, samples: Samples, data: ClassificationData) -> None:
        self.samples, self.data = samples, data

    def __len__(self) -> int:
        return len(self.samples)

    def identity(self, index: int) -> tuple[str, int]:
        """Path and class number of a sample."""
        if isinstance(self.samples, VideoClips):
            video = self.samples.videos[index]
            return str(video.path), video.label
        path, label = self.samples.samples[index]
        return str(path), label

    def __getitem__(self, index: int) -> SampleViews:
        name, label = self.identity(index)
        try:
            if isinstance(self.samples, VideoClips):
                data = self.data
                pixels = self.samples.views(index, data.temporal_views, data.spatial_crops, data.eval_crop_ratio)
            else:
                pixels = self.samples.evaluation_image(index, self.data.eval_crop_ratio)
        except SourceError as error:
            return SampleViews(name, label, None, str(error))
        return SampleViews(name, label, pixels)


def open_samples(where: str, data: ClassificationData, entry: ModelEntry, num_classes: int) -> Samples:
    """The training or test set that a recipe names. MemvitError if it does not exist."""
    if not where:
        raise MemvitError("the recipe names no data; pass data.train=… and data.val=…")
    if data.kind == "images":
        return LabelledImages(where, entry.preprocessing, num_classes=num_classes)
    if data.labels is None or data.labels in DATASETS:
        labels = labels_for(num_classes, data.labels or entry.dataset)
    else:
        labels = read_labels(data.labels)
    return VideoClips(read_video_list(where, labels, data.root), entry.preprocessing, data.sampling)


def test_batches(
    samples: TestSamples, places: Sequence[int], batch_size: int, workers: int
) -> Iterator[list[SampleViews]]:
    """Batches of the samples at `places`, decoded by `workers` processes."""
    loader: DataLoader[Any] = DataLoader(
        samples, batch_sampler=_chunks(places, batch_size), num_workers=workers, collate_fn=list
    )
    yield from loader


class ClassificationTask:
    """A `TrainingTask`: cross-entropy with soft targets, and top-1 and top-5 accuracy on the test set."""

    def __init__(self, recipe: ClassificationRecipe, model: MViT | MeMViT, entry: ModelEntry, world: World) -> None:
        self.model: nn.Module = model
        self.recipe, self.preprocessing, self.world = recipe, entry.preprocessing, world
        data, config = recipe.data, model.config
        self.num_classes = config.head.num_classes
        samples = open_samples(data.train, data, entry, self.num_classes)
        self.train_set = TrainingSamples(
            samples, recipe.augment, entry.preprocessing.short_side, data.decode_short_side
        )
        self.test_set = TestSamples(open_samples(data.val or data.train, data, entry, self.num_classes), data)
        self.mix = BatchAugmentation(recipe.augment, self.num_classes)
        world.shard(min(self._samples_per_batch, len(samples)))  # every process needs a part of every batch

    @property
    def _samples_per_batch(self) -> int:
        """Samples that are decoded for one batch; each is augmented `repeats` times."""
        batch_size, repeats = self.recipe.run.batch_size, self.recipe.augment.repeats
        if batch_size % repeats:
            raise MemvitError(f"run.batch_size={batch_size} is not a multiple of augment.repeats={repeats}")
        return batch_size // repeats

    @property
    def batches_per_epoch(self) -> int:
        """Whole batches of an epoch."""
        return steps_per_epoch(len(self.train_set.samples), self._samples_per_batch)

    def batches(self, epoch: int, first_batch: int) -> Iterator[Batch]:
        """This process's batches of an epoch, from `first_batch` on."""
        plan = epoch_batches(
            len(self.train_set.samples),
            self._samples_per_batch,
            seed=self.recipe.run.seed,
            epoch=epoch,
            first_step=first_batch,
            rank=self.world.rank,
            world_size=self.world.size,
        )
        loader: DataLoader[Any] = DataLoader(
            self.train_set,
            batch_sampler=list(plan),
            num_workers=self.recipe.run.loader_workers,
            collate_fn=_collate,
            pin_memory=torch.cuda.is_available(),
        )
        yield from loader

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, float]:
        """The loss summed over samples, and the number of samples."""
        device = next(self.model.parameters()).device
        clips = normalised(sent(batch.pixels, device), self.preprocessing)
        clips, targets = self.mix(clips, sent(batch.labels, device))
        logits = class_logits(network, clips)
        return F.cross_entropy(logits.float(), targets, reduction="sum"), float(len(clips))

    def describe(self, batch: Batch) -> list[str]:
        """Paths of the samples."""
        return batch.names

    def evaluate(self) -> dict[str, float]:
        """Top-1 and top-5 in percent. Every process tests its share of the samples."""
        run = self.recipe.run
        places = range(self.world.rank, len(self.test_set), self.world.size)
        views = self.recipe.data.temporal_views * self.recipe.data.spatial_crops
        batches = test_batches(self.test_set, places, max(run.batch_size // views, 1), run.loader_workers)
        counts = evaluate(self.model, batches, self.preprocessing, next(self.model.parameters()).device)
        for failure in counts.failures:
            logger.warning("%s; it counts as wrong", failure)
        shares = self.world.gather((counts.samples, counts.top1, counts.top5))
        sums = [sum(column) for column in zip(*shares, strict=True)] if shares else None
        return TopK(*self.world.broadcast(sums)).metrics

    def state_dict(self) -> dict[str, Any]:
        """Nothing, because no state is carried from batch to batch."""
        return {}

    def load_state_dicts(self, states: list[dict[str, Any]]) -> None:
        """Do nothing, because no state is carried from batch to batch."""


def _collate(decoded: list[list[tuple[Tensor, int, str]]]) -> Batch:
    samples = [sample for repeats in decoded for sample in repeats]
    pixels, labels, names = zip(*samples, strict=True)
    return Batch(torch.stack(pixels), torch.tensor(labels), list(names))


def _chunks(places: Sequence[int], size: int) -> list[list[int]]:
    return [list(places[start : start + size]) for start in range(0, len(places), size)]
