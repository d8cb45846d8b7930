"""Trains a detector of objects: its data, its losses and its evaluation."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from memvit.datasets.coco import CocoPictures
from memvit.datasets.sampling import SeededIndex, epoch_batches, steps_per_epoch
from memvit.detection import Detector, DetectorEntry
from memvit.detection.images import Size, batch_of, filled, resized_size
from memvit.detection.learning import LearningNetwork, Targets
from memvit.detection.network import DetectionNetwork
from memvit.evaluation.coco import evaluate
from memvit.evaluation.detection import PictureRows, measured, rows_of_pictures
from memvit.training.detection_augment import PictureAugmentation
from memvit.training.recipe import DetectionRecipe
from memvit.training.world import World
from memvit.types import MemvitError

logger = logging.getLogger("memvit")
MAX_UNREADABLE_IN_A_ROW = 20
"""Training fails if this many pictures in a row cannot be read."""


@dataclass(frozen=True)
class TrainingPicture:
    """A picture after augmentation."""

    pixels: Tensor
    """(3, H, W) uint8"""
    targets: Targets
    name: str
    """Path of its file."""


class TrainingPictures(Dataset[TrainingPicture]):
    """Maps a `SeededIndex` to an augmented picture with its objects."""

    def __init__(self, pictures: CocoPictures, augment: PictureAugmentation) -> None:
        self.pictures, self.augment = pictures, augment
        self.ids = pictures.with_objects()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, sample: SeededIndex) -> TrainingPicture:
        """The augmented picture. One that cannot be read is replaced, with a warning, by the next one that can."""
        index = sample.index
        for _ in range(MAX_UNREADABLE_IN_A_ROW):
            image_id = self.ids[index]
            try:
                pixels = self.pictures.picture(image_id)
            except MemvitError as error:
                logger.warning("%s; the next picture stands in for it", error)
                index = (index + 1) % len(self.ids)
                continue
            changed, targets = self.augment(pixels, self.pictures.objects(image_id), sample.seed)
            return TrainingPicture(changed, targets, str(self.pictures.path(image_id)))
        raise MemvitError(f"{MAX_UNREADABLE_IN_A_ROW} pictures in a row cannot be read; check data.train_pictures")


class DetectionTask:
    """A `TrainingTask`: the losses of all heads, and box and mask AP on the test pictures."""

    def __init__(self, recipe: DetectionRecipe, model: LearningNetwork, entry: DetectorEntry, world: World) -> None:
        self.network = model
        self.model: nn.Module = model
        self.recipe, self.entry, self.world, self.config = recipe, entry, world, model.config
        data, classes = recipe.data, model.config.num_classes
        self.train_set = TrainingPictures(
            CocoPictures(data.train, data.train_pictures, num_classes=classes), PictureAugmentation(recipe.augment)
        )
        if not len(self.train_set):
            raise MemvitError(f"{data.train}: none of its pictures has an object to learn")
        self.test_set = CocoPictures(data.val or data.train, test_folder(recipe), num_classes=classes)
        if self.test_set.names != self.train_set.pictures.names:
            raise MemvitError(f"{data.val}: its categories are other ones than those of {data.train}")
        self.learns_masks = data.masks and self.train_set.pictures.instances.has_masks
        world.shard(min(recipe.run.batch_size, len(self.train_set)))  # every process needs a part of every batch

    @property
    def largest_picture(self) -> Size:
        """(height, width) that pictures of a batch may be filled up to, as landscape."""
        augment = self.recipe.augment
        if augment.kind == "large_scale_jitter":
            return augment.side, augment.side
        short = max(augment.short_sides)
        sides = map(self.train_set.pictures.instances.size, self.train_set.ids)
        long = max(max(resized_size(*size, short, augment.long_side)) for size in sides)
        return filled(short), filled(long)

    @property
    def batches_per_epoch(self) -> int:
        """Whole batches of an epoch."""
        return steps_per_epoch(len(self.train_set), self.recipe.run.batch_size)

    def batches(self, epoch: int, first_batch: int) -> Iterator[list[TrainingPicture]]:
        """This process's batches of an epoch, from `first_batch` on."""
        run = self.recipe.run
        plan = epoch_batches(
            len(self.train_set),
            run.batch_size,
            seed=run.seed,
            epoch=epoch,
            first_step=first_batch,
            rank=self.world.rank,
            world_size=self.world.size,
        )
        loader: DataLoader[Any] = DataLoader(
            self.train_set, batch_sampler=list(plan), num_workers=run.loader_workers, collate_fn=list
        )
        yield from loader

    def loss(self, network: nn.Module, batch: list[TrainingPicture]) -> tuple[Tensor, float]:
        """The losses summed over pictures, and the number of pictures."""
        device = next(self.model.parameters()).device
        targets = [picture.targets.to(device) for picture in batch]
        if not self.learns_masks:
            targets = [Targets(each.boxes, each.labels, None, each.seed) for each in targets]
        losses: dict[str, Tensor] = network(batch_of([picture.pixels for picture in batch], device), targets)
        return torch.stack(list(losses.values())).sum(), float(len(batch))

    def describe(self, batch: list[TrainingPicture]) -> list[str]:
        """Paths of the pictures."""
        return [picture.name for picture in batch]

    def evaluate(self) -> dict[str, float]:
        """Box AP and mask AP in percent. Every process tests its share of the pictures."""
        ids = self.test_set.ids[self.world.rank :: self.world.size]
        sides = test_sides(self.recipe, self.entry)
        found = list(rows_of_pictures(self.detector(), self.test_set, ids, *sides, masks=self.learns_masks))
        shares = self.world.gather(found)
        metrics = self._metrics([picture for share in shares for picture in share]) if shares else None
        return self.world.broadcast(metrics)

    def _metrics(self, found: list[PictureRows]) -> dict[str, float]:
        for picture in found:
            if picture.failure:
                logger.warning("%s; its objects count as missed", picture.failure)
        rows = [row for picture in found for row in picture.rows]
        return measured(evaluate(self.test_set.instances, rows))

    def detector(self) -> Detector:
        """The detector with the weights of now."""
        device = next(self.model.parameters()).device
        plain = DetectionNetwork(self.config).to(device)
        plain.load_state_dict(self.model.state_dict())
        return Detector(plain, self.entry).eval()

    def state_dict(self) -> dict[str, Any]:
        """Nothing, because no state is carried from batch to batch."""
        return {}

    def load_state_dicts(self, states: list[dict[str, Any]]) -> None:
        """Do nothing, because no state is carried from batch to batch."""


def test_folder(recipe: DetectionRecipe) -> Path:
    """The folder of the test pictures; without test data, of the training pictures."""
    return Path(recipe.data.val_pictures if recipe.data.val else recipe.data.train_pictures)


def test_sides(recipe: DetectionRecipe, entry: DetectorEntry) -> tuple[int, int]:
    """Short and long side of pictures in the test."""
    return recipe.data.short_side or entry.short_side, recipe.data.long_side or entry.long_side
