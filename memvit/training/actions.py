"""Training a model of people's actions: lanes of video, a memory that goes along, and the official measure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memvit.datasets.ava import AnnotatedVideo, Footage, folders_of, read_annotations
from memvit.datasets.ava_files import read_exclusions, read_label_map, read_table
from memvit.datasets.lanes import LaneStep, begun_at, length, read_lane, share_out, span_seconds, walk
from memvit.evaluation.actions import KeyframeScores, as_table, score_keyframes
from memvit.evaluation.ava import evaluate
from memvit.models import Memory, MeMViT, ModelEntry
from memvit.models.preprocessing import model_input
from memvit.runtime.transfer import sent, sent_boxes
from memvit.training.lane_augment import LaneAugmentation
from memvit.training.recipe import ActionData, ActionRecipe
from memvit.training.world import World
from memvit.types import MemvitError
from memvit.video.clips.sampler import ClipSampler, short_side_size


@dataclass(frozen=True)
class LaneBatch:
    """One keyframe of every lane; a lane that has ended shows black frames with nobody in them."""

    frames: Tensor
    """(B, T, side, side, 3) uint8; whole frames of different sizes are padded with black, right and below."""
    boxes: list[Tensor]
    """B tensors (N_i, 4), xyxy in pixels of `frames`."""
    labels: Tensor
    """(sum N_i, classes)."""
    begins: Tensor
    """(B,) bool: a new video begins, and with it a new memory."""
    names: list[str]


def open_footage(data: ActionData) -> Footage:
    """Where a recipe's pixels are."""
    folders = {video: folder for path in data.frame_lists for video, folder in folders_of(path).items()}
    return Footage(
        Path(data.videos) if data.videos else None,
        Path(data.frames) if data.frames else None,
        data.frames_per_second,
        data.frames_start_seconds,
        folders,
    )


class ActionTask:
    """See `Task`. Binary cross-entropy over all actions of all boxes; the official mAP on the test set."""

    def __init__(self, recipe: ActionRecipe, model: MeMViT, entry: ModelEntry, world: World) -> None:
        self.model: nn.Module = model
        self._box_slots = model.config.head.box_slots
        self.config, self.recipe, self.world = model.config, recipe, world
        self.preprocessing = entry.preprocessing
        data, classes = recipe.data, model.config.head.num_classes
        self.footage = open_footage(data)
        self.lanes = world.share(recipe.run.batch_size)
        """This process's."""
        read = partial(read_annotations, num_classes=classes, score_threshold=data.score_threshold)
        self.train_videos = read(data.train_boxes, data.train_predicted) if data.train_boxes else []
        self.test_videos = read([], [data.val_boxes]) if data.val_boxes else read([data.val_groundtruth])
        crop = recipe.augment.crop
        self.side = model.config.crop if crop is None else crop
        if self.side > min(recipe.augment.short_side):
            raise MemvitError(
                f"augment.short_side={list(recipe.augment.short_side)} is smaller than the crop of {self.side} pixels"
            )
        self.memory: Memory | None = None

    @cached_property
    def canvas(self) -> tuple[int, int] | None:
        """(height, width) that a whole frame of every training video fits in; None where squares are cut out.

        One for the whole run, since what a lane remembers has the size of its frames.
        """
        if self.side:
            return None
        largest, sizes = max(self.recipe.augment.short_side), []
        for video in self.train_videos:
            with self.footage.open(video.name) as source:
                sizes.append(short_side_size(source.info.width, source.info.height, largest))
        return max(height for _, height in sizes), max(width for width, _ in sizes)

    def _plan(self, epoch: int) -> list[list[Any]]:
        """All lanes of all processes."""
        return share_out(self.train_videos, self.recipe.run.batch_size, seed=self.recipe.run.seed, epoch=epoch)

    @cached_property
    def batches_per_epoch(self) -> int:
        """See `Task`. Which lane is longest, and how long it is, differs from epoch to epoch: the longest of all is
        taken for every epoch, and lanes that have ended idle."""
        epochs = range(self.recipe.schedule.epochs)
        return max((length(lane) for epoch in epochs for lane in self._plan(epoch)), default=0)

    def batches(self, epoch: int, first_batch: int) -> Iterator[LaneBatch]:
        """See `Task`."""
        mine = self._plan(epoch)[self.lanes.start : self.lanes.stop]
        augment = LaneAugmentation(self.recipe.augment, self.side, self.recipe.run.seed, epoch, self.canvas)
        readers = [self._read(begun_at(lane, first_batch), augment) for lane in mine]
        if first_batch == 0:
            self.memory = None
        for steps in walk(readers):
            yield self._batch(steps, augment)
        while True:  # other processes' lanes may be longer
            yield self._batch([None] * len(self.lanes), augment)

    def _read(self, lane: list[Any], augment: LaneAugmentation) -> Iterator[LaneStep]:
        data = self.recipe.data
        span = span_seconds(self.preprocessing.num_frames, self.preprocessing.frame_interval)
        return read_lane(lane, self.footage, partial(self._sampler, augment=augment), data.hop_seconds, span)

    def _sampler(self, video: AnnotatedVideo, augment: LaneAugmentation) -> ClipSampler:
        plan = self.preprocessing
        perturb = partial(augment.perturb, video.name, plan.num_frames, plan.frame_interval)
        return ClipSampler(
            video.name,
            num_frames=plan.num_frames,
            frame_interval=plan.frame_interval,
            hop_seconds=self.recipe.data.hop_seconds,
            short_side=augment.short_side(video),
            perturb=perturb if self.recipe.augment.perturb_frames else None,
        )

    def _batch(self, steps: list[LaneStep | None], augment: LaneAugmentation) -> LaneBatch:
        made = [None if step is None else augment(step) for step in steps]
        shape = (self.preprocessing.num_frames, *(augment.canvas or (self.side, self.side)), 3)
        classes = self.config.head.num_classes
        nothing = torch.zeros(shape, dtype=torch.uint8), torch.zeros(0, 4), torch.zeros(0, classes)
        frames, boxes, labels = zip(*(item or nothing for item in made), strict=True)
        return LaneBatch(
            torch.stack(frames),
            list(boxes),
            torch.cat(labels),
            torch.tensor([step is None or step.clip.index == 0 for step in steps]),
            [f"{step.video} {step.keyframe.second}" if step else "nothing" for step in steps],
        )

    def loss(self, network: nn.Module, batch: LaneBatch) -> tuple[Tensor, float]:
        """See `Task`. The memory of a lane begins anew with its video."""
        device = next(self.model.parameters()).device
        clips = model_input(sent(batch.frames, device), self.preprocessing)
        memory = self.memory
        if memory is not None:
            # A stream of age 0 reads nothing: forgetting is setting the age.
            memory = replace(memory, ages=memory.ages.masked_fill(sent(batch.begins, device), 0))
        boxes = sent_boxes(batch.boxes, self._box_slots, device)
        logits, memory = network(clips, boxes, memory)
        self.memory = memory.detach() if memory is not None else None
        labels = sent(batch.labels, device)
        loss = F.binary_cross_entropy_with_logits(logits.float(), labels, reduction="none").mean(1).sum()
        return loss, float(len(labels))

    def describe(self, batch: LaneBatch) -> list[str]:
        """See `Task`."""
        return batch.names

    def evaluate(self) -> dict[str, float]:
        """See `Task`. Every process tests its share of the videos; the first one measures."""
        shares = self.world.gather(self._test())
        metric = self._mean_precision([row for share in shares for row in share]) if shares else None
        return {"mAP": self.world.tell(metric)}

    def _test(self) -> list[KeyframeScores]:
        """Of this process's share of the test videos."""
        model = self.model
        assert isinstance(model, MeMViT)
        mine = [part.video for part in share_out(self.test_videos, self.world.size, seed=None)[self.world.rank]]
        if not mine:
            return []
        hop_seconds = self.recipe.data.hop_seconds
        return score_keyframes(model, self.preprocessing, mine, self.footage, hop_seconds, len(self.lanes))

    def _mean_precision(self, found: list[KeyframeScores]) -> float:
        """The official mAP at 0.5 IoU on the test set."""
        data = self.recipe.data
        metrics = evaluate(
            read_table(data.val_groundtruth),
            as_table(found),
            read_exclusions(data.val_exclusions) if data.val_exclusions else None,
            label_map=read_label_map(data.label_map),
        )
        return metrics["mAP@0.5IOU"]

    def state_dict(self) -> dict[str, Any]:
        """See `Task`: the memory of this process's lanes."""
        return {"memory": self.memory.to("cpu").state_dict() if self.memory is not None else None}

    def load_state_dicts(self, states: list[dict[str, Any]]) -> None:
        """See `Task`. Lanes lie in the order of the processes, so any number of processes can share them out again."""
        parts = [Memory.from_state_dict(state["memory"]) for state in states if state["memory"] is not None]
        device = next(self.model.parameters()).device
        if not parts:
            self.memory = None
        elif len(states) == self.world.size:
            self.memory = parts[self.world.rank].to(device)
        else:
            try:
                lanes = Memory.stack(parts)
            except ValueError as error:
                raise MemvitError(
                    f"the lanes of this run differ in the size of their frames; go on with {len(states)} processes"
                ) from error
            self.memory = lanes.select(list(self.lanes)).to(device)
