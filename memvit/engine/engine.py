"""One model, many streams: batches the clips that are ready and keeps a memory per stream.

The engine knows nothing of files, threads or outputs. A stream's memory begins with its first clip and ends with
`forget`; no other stream ever reads it. Memories live in a pool a frame size, on the device. Batching changes nothing:
N streams give the results of N engines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memvit.boxes.pixels import boxes_in_pixels
from memvit.engine.centres import centres_after, read_centres
from memvit.engine.heads import scores_with_heads
from memvit.engine.snapshot import StreamSnapshot
from memvit.models import Memory, MemoryConfig, MemoryView, MeMViT, ModelOutput, MViT, Preprocessing
from memvit.models.box_rows import memory_numbers
from memvit.results.result import Result
from memvit.runtime import Precision, for_device
from memvit.runtime.memory_pool import StreamPool
from memvit.runtime.pools import memory_pool
from memvit.teaching.head import Head
from memvit.types import Clip, MemvitError, PersonBoxes

FrameSize: TypeAlias = tuple[int, int]
"""(height, width) of a clip's images."""


@dataclass
class StreamState:
    """The state of one stream, except its memory, which lies in a pool."""

    next_index: int = 0
    centres_seconds: tuple[float, ...] = ()
    """Centres of past clips, newest last, see `centres_after`."""
    size: FrameSize | None = None
    """The frame size of the clips that it remembers; None if it remembers none."""
    restored: Memory | None = None
    """The memory of a snapshot, until the next clip says of which frame size it is."""


class _ClipOutput(NamedTuple):
    """The outputs of the model for one clip, as arrays."""

    scores: NDArray[np.float32]
    features: NDArray[np.float32]
    box_features: NDArray[np.float32] | None


class _Commit(NamedTuple):
    """The changes of state after a batch. They are made when nothing can fail any more, so that a retry is safe."""

    clips: list[Clip]
    size: FrameSize
    pool: StreamPool | None
    write_memory: Callable[[], None]
    """Writes the clips into the memories of their streams."""


class Engine:
    """Runs a model over clips of any number of streams, at most one clip of each at a time."""

    def __init__(
        self,
        model: MeMViT | MViT,
        preprocessing: Preprocessing,
        *,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
        remember: bool = True,
        heads: Sequence[Head] = (),
    ) -> None:
        """`precision`: what is computed in; `int8` (linear layers in 8-bit products) is for CPUs. Each of `heads` adds
        a column to the scores. ValueError if the device does not have the precision.
        """
        self.heads = tuple(heads)
        self.runner = for_device(model, device, precision, preprocessing=preprocessing)
        self.device, self.precision, self.dtype = self.runner.device, precision, self.runner.dtype
        self.model = self.runner.network
        self.preprocessing = preprocessing
        self.plan = model.config.memory if remember and isinstance(model, MeMViT) else None
        self.reach_clips = model.receptive_field if isinstance(model, MeMViT) and self.plan else 0
        """How many clips back a result can depend on the past; None for all of them."""
        self._streams: dict[str, StreamState] = {}
        self._pools: dict[FrameSize, StreamPool] = {}

    @property
    def wants_boxes(self) -> bool:
        """Whether the model classifies people rather than whole clips."""
        return self.runner.wants_boxes

    def step(self, clips: Sequence[Clip], boxes: Sequence[PersonBoxes] | None = None) -> list[Result]:
        """Results of clips of different streams, in the order given; `boxes` are theirs, for an action model.

        ValueError if a stream comes twice, or a clip is not the one that follows its stream's last: a memory must
        neither see a clip twice nor skip one unknowingly. After any error the engine is as it was before the call: the
        same clips may be passed again.
        """
        self._check_order(clips)
        found: Sequence[PersonBoxes | None] = boxes if boxes is not None else [None] * len(clips)
        results: dict[str, Result] = {}
        commits: list[_Commit] = []
        for size in sorted({clip.frames.shape for clip in clips}):
            batch = [(clip, box) for clip, box in zip(clips, found, strict=True) if clip.frames.shape == size]
            with self.runner.threads():
                answered, commit = self._run([clip for clip, _ in batch], [box for _, box in batch])
            results |= {result.stream_id: result for result in answered}
            commits.append(commit)
        for commit in commits:
            self._commit(commit)
        return [results[clip.stream_id] for clip in clips]

    def forget(self, stream_id: str) -> None:
        """End a stream; a later one of the same name starts without memory."""
        state = self._streams.pop(stream_id, None)
        if state is not None and state.size is not None:
            pool = self._pools[state.size]
            pool.forget(stream_id)
            if not len(pool):  # no stream has this size any more: free its memory on the device
                del self._pools[state.size]

    def snapshot(self, stream_id: str) -> StreamSnapshot:
        """The state of a stream, for `restore` in this or another engine; KeyError if there is no such stream."""
        state = self._streams[stream_id]
        memory = self._pools[state.size].memory(stream_id) if state.size is not None else state.restored
        return StreamSnapshot(memory, state.next_index, state.centres_seconds)

    def restore(self, stream_id: str, snapshot: StreamSnapshot) -> None:
        """Go on where a snapshot of the same model was taken; the stream's next clip has `snapshot.next_index`.

        ValueError if the stream is already there. A memory of another model is refused by the stream's next clip.
        """
        if stream_id in self._streams:
            raise ValueError(f"stream {stream_id} is running; forget it before it is restored")
        memory = snapshot.memory.to(self.device, self.dtype) if snapshot.memory is not None else None
        self._streams[stream_id] = StreamState(snapshot.next_index, snapshot.centres_seconds, restored=memory)

    def _check_order(self, clips: Sequence[Clip]) -> None:
        if len({clip.stream_id for clip in clips}) < len(clips):
            raise ValueError("a batch holds at most one clip of a stream")
        for clip in clips:
            expected = self._streams.get(clip.stream_id, StreamState()).next_index
            if clip.index != expected:
                raise ValueError(f"stream {clip.stream_id}: clip {expected} is next, got clip {clip.index}")

    @torch.inference_mode()
    def _run(self, clips: list[Clip], boxes: list[PersonBoxes | None]) -> tuple[list[Result], _Commit]:
        """Results of clips of one size, and what is to be remembered of them. Changes nothing that a result shows."""
        frames = torch.from_numpy(np.stack([clip.frames for clip in clips]))
        size = (frames.shape[2], frames.shape[3])
        stream_ids = [clip.stream_id for clip in clips]
        pool: StreamPool | None = None
        view: MemoryView | None = None
        pixels = self._in_pixels(clips, boxes) if self.wants_boxes else None
        if self.plan is not None:
            pool = self._pool_of(clips, size)
            view = pool.view(stream_ids)
        output, update = self.runner.step(frames, pixels, view, remember=self.plan is not None)
        states = [self._streams.get(clip.stream_id, StreamState()) for clip in clips]
        outputs = self._per_clip(output, [len(box) if box is not None else 1 for box in boxes])
        _check_finite(clips, outputs)
        results = [self._result(*parts) for parts in zip(clips, boxes, outputs, states, strict=True)]
        write_memory = _nothing
        if pool is not None and update is not None:
            numbers = [_memory_numbers(box) for box in boxes if box is not None] if self.wants_boxes else None
            write_memory = pool.prepare(stream_ids, update, numbers)
        return results, _Commit(clips, size, pool, write_memory)

    @torch.inference_mode()
    def _commit(self, commit: _Commit) -> None:
        """Write memory, indices and centres of a batch."""
        commit.write_memory()
        if commit.pool is not None:
            self._pools[commit.size] = commit.pool
        for clip in commit.clips:
            state = self._streams.setdefault(clip.stream_id, StreamState())
            state.next_index = clip.index + 1
            if self.plan is not None:
                state.size = commit.size
                state.centres_seconds = centres_after(
                    self.plan, self.reach_clips, state.centres_seconds, clip.index, clip.centre_seconds
                )

    def _pool_of(self, clips: list[Clip], size: FrameSize) -> StreamPool:
        """The pool of the memories of these streams."""
        assert self.plan is not None
        pool = self._pools.get(size) or memory_pool(self.plan)
        for clip in clips:
            self._check_memory(clip.stream_id, size, pool)
        return pool

    def _check_memory(self, stream_id: str, size: FrameSize, pool: StreamPool) -> None:
        """ValueError if what a stream remembers does not fit its clip; a restored memory goes where it fits."""
        state = self._streams.get(stream_id, StreamState())
        if state.restored is not None:
            assert isinstance(self.model, MeMViT)
            self.model.check_memory(state.restored, streams=1, height=size[0], width=size[1])
            pool.restore(stream_id, state.restored)
            self._pools[size] = pool
            state.restored, state.size = None, size
        elif state.size is not None and state.size != size:
            raise ValueError(
                f"stream {stream_id}: its clips were {state.size[1]}×{state.size[0]} pixels and are now "
                f"{size[1]}×{size[0]}, which its memory does not fit; forget the stream first"
            )

    def _per_clip(self, output: ModelOutput, counts: list[int]) -> list[_ClipOutput]:
        activate = torch.sigmoid if self.model.config.head.activation == "sigmoid" else _softmax
        wanted = [activate(output.logits.float()), output.features]
        if output.box_features is not None:
            wanted.append(output.box_features)
        all_scores, features, *of_boxes = self.runner.to_host(wanted)
        ends = np.cumsum(counts)[:-1]
        scores = np.split(all_scores, ends)
        if not of_boxes:
            return [_ClipOutput(rows, row, None) for rows, row in zip(scores, features, strict=True)]
        parts = zip(scores, features, np.split(of_boxes[0], ends), strict=True)
        return [_ClipOutput(rows, row, of_people) for rows, row, of_people in parts]

    @staticmethod
    def _in_pixels(clips: list[Clip], boxes: list[PersonBoxes | None]) -> list[Tensor]:
        found = []
        for clip, box in zip(clips, boxes, strict=True):
            if box is None:
                raise ValueError("this model classifies people: pass their boxes with the clips")
            size = (clip.frames.shape[2], clip.frames.shape[1])
            found.append(torch.from_numpy(boxes_in_pixels(box.xyxy, size, clip.source_size)))
        return found

    def _result(self, clip: Clip, boxes: PersonBoxes | None, output: _ClipOutput, state: StreamState) -> Result:
        centres, plan = state.centres_seconds, self.plan
        past = read_centres(plan, centres) if plan else ()
        return Result(
            stream_id=clip.stream_id,
            clip_index=clip.index,
            centre_seconds=clip.centre_seconds,
            start_seconds=clip.start_seconds,
            end_seconds=clip.end_seconds,
            boxes=boxes if self.wants_boxes else None,
            scores=scores_with_heads(output.scores, output.features, output.box_features, self.heads),
            features=output.features,
            box_features=output.box_features,
            memory_clips=_clips_held(plan, clip.index),
            memory_offsets_seconds=tuple(clip.centre_seconds - centre for centre in past),
            memory_in_slots=plan is not None and plan.kind == "slots",
            memory_reach_seconds=clip.centre_seconds - centres[0] if past else 0.0,
            session=clip.session,
            missed_clips=clip.missed_clips,
            quality=clip.quality,
        )


def _memory_numbers(boxes: PersonBoxes) -> list[int]:
    return memory_numbers(len(boxes), None if boxes.persons is None else boxes.persons.tolist())


def _clips_held(plan: MemoryConfig | None, age: int) -> int:
    """How many past clips the memory of a stream holds that has seen `age` clips."""
    if plan is None:
        return 0
    return age if plan.kind == "slots" else min(age, plan.steps)


def _nothing() -> None:
    """Writes nothing: the model has no memory."""


def _check_finite(clips: Sequence[Clip], outputs: Sequence[_ClipOutput]) -> None:
    """MemvitError that names a clip with scores or features that are NaN or infinite: they must not be written."""
    for clip, of_clip in zip(clips, outputs, strict=True):
        if not all(np.isfinite(values).all() for values in of_clip if values is not None):
            raise MemvitError(
                f"{clip.stream_id}: the model's scores for the clip at {clip.centre_seconds:g} s are not finite "
                "numbers: its weights are damaged or too large for this precision; use another checkpoint or float32"
            )


def _softmax(logits: Tensor) -> Tensor:
    return logits.softmax(-1)
