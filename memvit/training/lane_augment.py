"""Augments a lane's clips. Crop and flip are the same for a whole video, so that its memory fits its clips."""

from __future__ import annotations

import math
import random

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import v2

from memvit.boxes.pixels import boxes_in_pixels
from memvit.datasets.ava import AvaVideo
from memvit.datasets.lanes import LaneStep
from memvit.training.augment import jittered_side, seeded, with_color_noise
from memvit.training.pauses import MOST_REPEATED, Pause
from memvit.training.recipe import ActionAugmentation
from memvit.video.clips.sampler import TRAINED_FRAMES_PER_SECOND

PAUSE_BEFORE = range(3, 9)
"""Numbers of the clips before which a pause may come."""
SHORTEST_PAUSE = 8
NEW_NUMBER = 100_000
"""What is added to the number of a person whose number was lost: larger than any number in the annotations."""


class LaneAugmentation:
    """Makes of a LaneStep a clip of a fixed size with its boxes and labels.

    The clip is a square of `side` pixels, or the whole frame on a black `canvas` (height, width). All random choices
    depend only on the run's seed, the epoch, the video and the clip.
    """

    def __init__(
        self, config: ActionAugmentation, side: int, seed: int, epoch: int, canvas: tuple[int, int] | None = None
    ) -> None:
        self.config, self.side, self.seed, self.epoch, self.canvas = config, side, seed, epoch, canvas
        self.color = v2.ColorJitter(*[config.color_jitter] * 3) if config.color_jitter else None

    def short_side(self, video: AvaVideo) -> int:
        """Short side in pixels of the frames of this video in this epoch."""
        low, high = self.config.short_side
        return jittered_side(low, high, self._rng(video.name, "scale").random())

    def __call__(self, step: LaneStep) -> tuple[Tensor, Tensor, Tensor]:
        """Frames (T, height, width, 3), boxes (N, 4) in pixels, labels (N, classes).

        Boxes are clipped at the edges of the crop. All of them stay, as in the reference, however small they become.
        """
        frames = torch.from_numpy(step.clip.frames)
        height, width = frames.shape[1:3]
        boxes = torch.from_numpy(boxes_in_pixels(step.keyframe.boxes.xyxy, (width, height), step.clip.source_size))
        labels = torch.from_numpy(step.keyframe.labels)
        clip = step.clip.index if self.config.once == "clip" else 0
        generator = self._rng(step.video, f"crop {clip}")
        if self.side:
            top = generator.randint(0, max(height - self.side, 0))
            left = generator.randint(0, max(width - self.side, 0))
            frames = frames[:, top : top + self.side, left : left + self.side]
            boxes = boxes - torch.tensor([left, top, left, top])
        height, width = frames.shape[1:3]
        if generator.random() < self.config.flip:
            frames = frames.flip(2)
            boxes = torch.stack((width - 1 - boxes[:, 2], boxes[:, 1], width - 1 - boxes[:, 0], boxes[:, 3]), 1)
        boxes = boxes.clamp(min=torch.zeros(4), max=torch.tensor([width, height, width, height]) - 1.0)
        if self.color is not None:
            with seeded(self._rng(step.video, f"color {step.clip.index}").getrandbits(40)):
                frames = self.color(frames.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        if self.config.color_noise:
            noise = self._rng(step.video, f"color noise {step.clip.index}")
            frames = with_color_noise(frames, [noise.gauss(0, self.config.color_noise) for _ in range(3)])
        if self.canvas is not None:
            frames = F.pad(frames, (0, 0, 0, self.canvas[1] - frames.shape[2], 0, self.canvas[0] - frames.shape[1]))
        return frames.contiguous(), boxes, labels

    def persons(self, step: LaneStep) -> list[int]:
        """The numbers of the people in the boxes, as a tracker with faults would give them; −1 without a number.

        A fault lasts to the end of the video: each clip has the faults of all clips before it.
        """
        config, given = self.config, step.keyframe.boxes.persons
        if given is None or self._rng(step.video, "numbers").random() < config.without_numbers:
            return [-1] * len(step.keyframe.boxes)
        numbers = {int(person): int(person) for person in given if person >= 0}
        if config.lost_numbers or config.swapped_numbers:
            for clip in range(1, step.clip.index + 1):
                for person in numbers:
                    if self._rng(step.video, f"number {clip} {person}").random() < config.lost_numbers:
                        numbers[person] += NEW_NUMBER
                generator = self._rng(step.video, f"numbers {clip}")
                if generator.random() < config.swapped_numbers and len(numbers) > 1:
                    first, second = generator.sample(sorted(numbers), 2)
                    numbers[first], numbers[second] = numbers[second], numbers[first]
        return [numbers.get(int(person), -1) for person in given]

    def pause(self, step: LaneStep) -> Pause:
        """The pause before a clip."""
        if not self.config.pauses:
            return Pause()
        generator = self._rng(step.video, "pause")
        has_one, place = generator.random() < self.config.pauses, generator.choice(PAUSE_BEFORE)
        if not has_one or step.clip.index != place:
            return Pause()
        clips = math.exp(generator.uniform(math.log(SHORTEST_PAUSE), math.log(self.config.longest_pause)))
        return Pause(round(clips), generator.randint(1, min(MOST_REPEATED, step.clip.index - 1)))

    def perturb(self, video: str, frames: int, frame_interval: int, number: int) -> list[float]:
        """By how many seconds each frame of a clip is moved, for `ClipSampler`.

        Each moves by a random whole number of frames, as in the reference: from -2 to 1 at an interval of 4, from -2 to
        0 at an interval of 3. The first frame of a clip is never moved back, and the last is always moved back.
        """
        generator = self._rng(video, f"frames {number}")
        low, high = -frame_interval // 2, frame_interval // 2
        if high == 0:
            return [0.0] * frames
        inner = [generator.randrange(low, high) for _ in range(frames - 2)]
        moves = [generator.randrange(0, high), *inner, generator.randrange(low, 0)]
        return [move / TRAINED_FRAMES_PER_SECOND for move in moves]

    def _rng(self, video: str, what: str) -> random.Random:
        return random.Random(f"{self.seed} {self.epoch} {video} {what}")
