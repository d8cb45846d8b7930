"""One model, many streams: batches the clips that are ready and keeps a memory per stream.

The engine knows nothing of files, threads or outputs. A stream's memory begins with its first clip and ends with
`forget`; no other stream ever reads it. Batching changes nothing: N streams give the results of N engines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memvit.models import Answer, Memory, MeMViT, MViT, Preprocessing
from memvit.results import Result
from memvit.snapshot import StreamSnapshot
from memvit.types import Clip, PersonBoxes
from memvit.video.transforms import model_input


@dataclass
class StreamState:
    """What the engine keeps of one stream."""

    memory: Memory | None = None
    next_index: int = 0
    centres_seconds: deque[float] = field(default_factory=deque)
    """Centres of the last clips, newest last, as far back as a result can depend on them."""


class _Said(NamedTuple):
    """What the model said of one clip."""

    scores: NDArray[np.float32]
    features: NDArray[np.float32]
    box_features: NDArray[np.float32] | None


class Engine:
    """Runs a model over clips of any number of streams, at most one clip of each at a time."""

    def __init__(
        self,
        model: MeMViT | MViT,
        preprocessing: Preprocessing,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        remember: bool = True,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self.model = model.to(device=self.device, dtype=dtype).eval()
        self.preprocessing = preprocessing
        self.plan = model.config.memory if remember and isinstance(model, MeMViT) else None
        self.reach_clips = model.receptive_field if isinstance(model, MeMViT) and self.plan else 0
        """How many clips back a result can depend on the past."""
        self._streams: dict[str, StreamState] = {}

    @property
    def wants_boxes(self) -> bool:
        """Whether the model answers for people rather than for whole clips."""
        return self.model.config.head.kind == "action"

    def step(self, clips: Sequence[Clip], boxes: Sequence[PersonBoxes] | None = None) -> list[Result]:
        """Results of clips of different streams, in the order given; `boxes` are theirs, for an action model.

        ValueError if a stream comes twice, or a clip is not the one that follows its stream's last: a memory must
        neither see a clip twice nor skip one unknowingly.
        """
        self._check_order(clips)
        found: Sequence[PersonBoxes | None] = boxes if boxes is not None else [None] * len(clips)
        results: dict[str, Result] = {}
        for size in sorted({clip.frames.shape for clip in clips}):
            batch = [(clip, box) for clip, box in zip(clips, found, strict=True) if clip.frames.shape == size]
            for result in self._run([clip for clip, _ in batch], [box for _, box in batch]):
                results[result.stream_id] = result
        return [results[clip.stream_id] for clip in clips]

    def forget(self, stream_id: str) -> None:
        """End a stream; a later one of the same name starts without memory."""
        self._streams.pop(stream_id, None)

    def snapshot(self, stream_id: str) -> StreamSnapshot:
        """All that is kept of a stream, for `restore` here or elsewhere; KeyError if there is no such stream."""
        state = self._streams[stream_id]
        return StreamSnapshot(state.memory, state.next_index, tuple(state.centres_seconds))

    def restore(self, stream_id: str, snapshot: StreamSnapshot) -> None:
        """Go on where a snapshot of the same model was taken; the stream's next clip has `snapshot.next_index`.

        ValueError if the stream is already there.
        """
        if stream_id in self._streams:
            raise ValueError(f"stream {stream_id} is running; forget it before it is restored")
        memory = snapshot.memory.to(self.device, self.dtype) if snapshot.memory is not None else None
        self._streams[stream_id] = StreamState(memory, snapshot.next_index, deque(snapshot.centres_seconds))

    def _check_order(self, clips: Sequence[Clip]) -> None:
        if len({clip.stream_id for clip in clips}) < len(clips):
            raise ValueError("a batch holds at most one clip of a stream")
        for clip in clips:
            expected = self._streams.get(clip.stream_id, StreamState()).next_index
            if clip.index != expected:
                raise ValueError(f"stream {clip.stream_id}: clip {expected} is next, got clip {clip.index}")

    @torch.inference_mode()
    def _run(self, clips: list[Clip], boxes: list[PersonBoxes | None]) -> list[Result]:
        states = [self._streams.setdefault(clip.stream_id, StreamState()) for clip in clips]
        frames = torch.from_numpy(np.stack([clip.frames for clip in clips])).to(self.device, non_blocking=True)
        images = model_input(frames, self.preprocessing, self.dtype)
        if isinstance(self.model, MViT):
            answer = self.model.answer(images)
        else:
            pixels = self._in_pixels(boxes, images) if self.wants_boxes else None
            before = self._gather(states) if self.plan else None
            answer = self.model.answer(images, pixels, before, remember=self.plan is not None)
        said = self._per_clip(answer, [len(box) if box is not None else 1 for box in boxes])
        results = [self._result(*parts) for parts in zip(clips, boxes, said, states, strict=True)]
        for row, (clip, state) in enumerate(zip(clips, states, strict=True)):
            state.next_index = clip.index + 1
            if answer.memory is not None:
                state.memory = answer.memory if len(clips) == 1 else answer.memory.select([row])
                state.centres_seconds.append(clip.centre_seconds)
                while len(state.centres_seconds) > self.reach_clips:
                    state.centres_seconds.popleft()
        return results

    def _per_clip(self, answer: Answer, counts: list[int]) -> list[_Said]:
        activate = torch.sigmoid if self.model.config.head.activation == "sigmoid" else _softmax
        scores = activate(answer.logits.float()).cpu().split(counts)
        features = answer.features.float().cpu().numpy()
        if answer.box_features is None:
            return [_Said(rows.numpy(), row, None) for rows, row in zip(scores, features, strict=True)]
        of_boxes = answer.box_features.float().cpu().split(counts)
        parts = zip(scores, features, of_boxes, strict=True)
        return [_Said(rows.numpy(), row, of_people.numpy()) for rows, row, of_people in parts]

    @staticmethod
    def _gather(states: list[StreamState]) -> Memory | None:
        known = next((state.memory for state in states if state.memory is not None), None)
        if known is None:
            return None
        blank = known.blank(1)
        memories = [state.memory if state.memory is not None else blank for state in states]
        return memories[0] if len(memories) == 1 else Memory.stack(memories)

    def _in_pixels(self, boxes: list[PersonBoxes | None], images: Tensor) -> list[Tensor]:
        height, width = images.shape[3:]
        size = torch.tensor([width, height, width, height], dtype=torch.float32)
        if any(box is None for box in boxes):
            raise ValueError("this model answers for people: pass their boxes with the clips")
        return [(torch.from_numpy(box.xyxy) * size).to(self.device) for box in boxes if box is not None]

    def _result(self, clip: Clip, boxes: PersonBoxes | None, said: _Said, state: StreamState) -> Result:
        centres, plan = state.centres_seconds, self.plan
        past = [centres[-read] for read in plan.reads if read <= len(centres)] if plan else []
        return Result(
            stream_id=clip.stream_id,
            clip_index=clip.index,
            centre_seconds=clip.centre_seconds,
            start_seconds=clip.start_seconds,
            end_seconds=clip.end_seconds,
            boxes=boxes if self.wants_boxes else None,
            scores=said.scores,
            features=said.features,
            box_features=said.box_features,
            memory_clips=min(len(centres), plan.steps) if plan else 0,
            memory_offsets_seconds=tuple(clip.centre_seconds - centre for centre in past),
            memory_reach_seconds=clip.centre_seconds - centres[0] if past else 0.0,
        )


def _softmax(logits: Tensor) -> Tensor:
    return logits.softmax(-1)
