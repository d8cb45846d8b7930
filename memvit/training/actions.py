"""Trains a model of people's actions on lanes of video, with a memory for each lane, and measures its official mAP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memvit.datasets.ava import AvaVideo, Footage, folders_of, read_annotations
from memvit.datasets.ava_files import read_exclusions, read_label_map, read_table
from memvit.datasets.lanes import (
    LaneStep,
    assign_lanes,
    iterate_lanes,
    lane_length,
    read_lane,
    skip_steps,
    span_seconds,
)
from memvit.evaluation.actions import KeyframeScores, detections_table, score_keyframes
from memvit.evaluation.ava import evaluate
from memvit.models import Memory, MeMViT, ModelEntry
from memvit.models.preprocessing import model_input
from memvit.runtime.transfer import sent, sent_boxes
from memvit.training.lane_augment import LaneAugmentation
from memvit.training.pauses import Pause, with_pauses
from memvit.training.recipe import ActionData, ActionRecipe
from memvit.training.world import World
from memvit.types import MemvitError
from memvit.video.clips.sampler import ClipSampler, short_side_size


@dataclass(frozen=True)
class LaneBatch:
    """One keyframe of every lane. A lane that has ended contributes black frames without boxes."""

    frames: Tensor
    """(B, T, side, side, 3) uint8. Whole frames of different sizes are padded with black, right and below."""
    boxes: list[Tensor]
    """B tensors (N_i, 4): the boxes of each clip, xyxy in pixels of `frames`."""
    labels: Tensor
    """(sum N_i, classes), 1 for every action of a box, else 0."""
    begins: Tensor
    """(B,) bool: whether a new video begins in the lane, and with it an empty memory."""
    persons: list[list[int]]
    """The number of the person in each box, −1 for a box without one, of each clip."""
    pauses: list[Pause]
    """The pause before each clip."""
    names: list[str]
    """Video and second of each clip."""


def open_footage(data: ActionData) -> Footage:
    """The video files or folders of frames that a recipe names."""
    folders = {video: folder for path in data.frame_lists for video, folder in folders_of(path).items()}
    return Footage(
        Path(data.videos) if data.videos else None,
        Path(data.frames) if data.frames else None,
        data.frames_per_second,
        data.frames_start_seconds,
        folders,
    )


class ActionTask:
    """A `TrainingTask`: binary cross-entropy over all actions of all boxes, and the official mAP on the test set."""

    def __init__(self, recipe: ActionRecipe, model: MeMViT, entry: ModelEntry, world: World) -> None:
        self.model: nn.Module = model
        self._box_slots = model.config.head.box_slots
        self.config, self.recipe, self.world = model.config, recipe, world
        self.preprocessing = entry.preprocessing
        data, classes = recipe.data, model.config.head.num_classes
        self.footage = open_footage(data)
        self.lanes = world.shard(recipe.run.batch_size)
        """The lanes of the batch that belong to this process."""
        read = partial(read_annotations, num_classes=classes, score_threshold=data.score_threshold)
        self.train_videos = read(data.train_boxes, data.train_predicted) if data.train_boxes else []
        self.test_videos = read([], [data.val_boxes]) if data.val_boxes else read([data.val_groundtruth])
        crop = recipe.augment.crop
        self.side = model.config.crop if crop is None else crop
        if self.side > min(recipe.augment.short_side):
            raise MemvitError(
                f"augment.short_side={list(recipe.augment.short_side)} is smaller than the crop of {self.side} pixels"
            )
        if recipe.augment.pauses:
            self._check_pauses(recipe.augment.longest_pause)
        self.memory: Memory | None = None

    def _check_pauses(self, longest: int) -> None:
        """MemvitError if the model's memory cannot hold pauses of so many clips."""
        plan = self.config.memory
        if plan is None or plan.kind != "slots":
            raise MemvitError("augment.pauses is for memory in slots: set model.slots, or leave it at 0")
        if longest >= plan.train_horizon:
            raise MemvitError(
                f"augment.longest_pause={longest} does not fit into model.train_horizon={plan.train_horizon}: "
                "what was shown before it would be forgotten"
            )

    @cached_property
    def canvas(self) -> tuple[int, int] | None:
        """(height, width) into which a whole frame of every training video fits; None if squares are cut out.

        The whole run has one canvas, because the memory of a lane has the size of its frames.
        """
        if self.side:
            return None
        largest, sizes = max(self.recipe.augment.short_side), []
        for video in self.train_videos:
            with self.footage.open(video.name) as source:
                sizes.append(short_side_size(source.info.width, source.info.height, largest))
        return max(height for _, height in sizes), max(width for width, _ in sizes)

    def _plan(self, epoch: int) -> list[list[Any]]:
        """The videos of all lanes of all processes in an epoch."""
        return assign_lanes(self.train_videos, self.recipe.run.batch_size, seed=self.recipe.run.seed, epoch=epoch)

    @cached_property
    def batches_per_epoch(self) -> int:
        """Length of the longest lane of any epoch. Lengths differ between epochs; lanes that have ended idle."""
        epochs = range(self.recipe.schedule.epochs)
        return max((lane_length(lane) for epoch in epochs for lane in self._plan(epoch)), default=0)

    def batches(self, epoch: int, first_batch: int) -> Iterator[LaneBatch]:
        """Batches of this process's lanes. They do not end, because the lanes of other processes may be longer."""
        mine = self._plan(epoch)[self.lanes.start : self.lanes.stop]
        augment = LaneAugmentation(self.recipe.augment, self.side, self.recipe.run.seed, epoch, self.canvas)
        readers = [self._read(skip_steps(lane, first_batch), augment) for lane in mine]
        if first_batch == 0:
            self.memory = None
        for steps in iterate_lanes(readers):
            yield self._batch(steps, augment)
        while True:
            yield self._batch([None] * len(self.lanes), augment)

    def _read(self, lane: list[Any], augment: LaneAugmentation) -> Iterator[LaneStep]:
        data = self.recipe.data
        span = span_seconds(self.preprocessing.num_frames, self.preprocessing.frame_interval)
        return read_lane(lane, self.footage, partial(self._sampler, augment=augment), data.hop_seconds, span)

    def _sampler(self, video: AvaVideo, augment: LaneAugmentation) -> ClipSampler:
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
            [[] if step is None else augment.persons(step) for step in steps],
            [Pause() if step is None else augment.pause(step) for step in steps],
            [f"{step.video} {step.keyframe.second}" if step else "nothing" for step in steps],
        )

    def loss(self, network: nn.Module, batch: LaneBatch) -> tuple[Tensor, float]:
        """The loss summed over boxes, and the number of boxes. A lane's memory is emptied where a video begins."""
        device = next(self.model.parameters()).device
        clips = model_input(sent(batch.frames, device), self.preprocessing)
        memory = self.memory
        if memory is not None:
            memory = memory.restarted(batch.begins.tolist(), sent(batch.begins, device))
            memory = with_pauses(memory, batch.pauses)
        boxes = sent_boxes(batch.boxes, self._box_slots, device)
        logits, memory = network(clips, boxes, memory, persons=batch.persons)
        self.memory = memory.detach() if memory is not None else None
        labels = sent(batch.labels, device)
        loss = F.binary_cross_entropy_with_logits(logits.float(), labels, reduction="none").mean(1).sum()
        return loss, float(len(labels))

    def describe(self, batch: LaneBatch) -> list[str]:
        """Video and second of each clip."""
        return batch.names

    def evaluate(self) -> dict[str, float]:
        """The official mAP. Every process scores its share of the videos, and the first one computes the mAP."""
        shares = self.world.gather(self._test())
        metric = self._mean_precision([row for share in shares for row in share]) if shares else None
        return {"mAP": self.world.broadcast(metric)}

    def _test(self) -> list[KeyframeScores]:
        """Scores of this process's share of the test videos."""
        model = self.model
        assert isinstance(model, MeMViT)
        mine = [part.video for part in assign_lanes(self.test_videos, self.world.size, seed=None)[self.world.rank]]
        if not mine:
            return []
        hop_seconds = self.recipe.data.hop_seconds
        return score_keyframes(model, self.preprocessing, mine, self.footage, hop_seconds, len(self.lanes))

    def _mean_precision(self, found: list[KeyframeScores]) -> float:
        """The official mAP at 0.5 IoU on the test set."""
        data = self.recipe.data
        metrics = evaluate(
            read_table(data.val_groundtruth),
            detections_table(found),
            read_exclusions(data.val_exclusions) if data.val_exclusions else None,
            label_map=read_label_map(data.label_map),
        )
        return metrics["mAP@0.5IOU"]

    def state_dict(self) -> dict[str, Any]:
        """The memory of this process's lanes."""
        return {"memory": self.memory.to("cpu").state_dict() if self.memory is not None else None}

    def load_state_dicts(self, states: list[dict[str, Any]]) -> None:
        """Restore the memory of this process's lanes from the states of all processes.

        Lanes are in the order of the processes, so another number of processes can divide them again.
        """
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
