"""What memory in slots costs: seconds a clip beside other kinds of memory, bytes a stream, and streams in real time.

python -m tools.slots_cost                    # MeMViT-16, 320 × 224 pixels, 14 slots
python -m tools.slots_cost --model memvit_tiny_8x4 --slots 18 --streams 32

Run it on a quiet machine. The kinds are measured in turns, so that a change of the machine's pace hits all of them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace

import numpy as np
import torch

from memvit.engine.centres import centres_after
from memvit.engine.engine import Engine
from memvit.engine.snapshot import StreamSnapshot
from memvit.models import MemoryConfig, MeMViT, model_entry
from memvit.models.preprocessing import Preprocessing
from memvit.runtime.slot_pool import SlotPool
from memvit.types import Clip, PersonBoxes

PEOPLE = 3
FLAT_CLIPS = 10_000
"""Over so many clips the bytes of a stream must not change."""


def engine_of(name: str, memory: MemoryConfig | None) -> tuple[Engine, Preprocessing]:
    """An engine with untrained weights: what is computed does not depend on them."""
    entry = model_entry(name)
    torch.manual_seed(0)
    model = MeMViT(replace(entry.config, memory=memory)).eval()
    return Engine(model, entry.preprocessing, precision="float32"), entry.preprocessing


def kinds_of(name: str, slots: int) -> dict[str, MemoryConfig | None]:
    """Name → memory, of the kinds that are compared."""
    reads = model_entry(name).config.memory
    assert reads is not None
    return {"none": None, "reads": reads, "slots": replace(reads, kind="slots", reads=(), slots=slots)}


class Streams:
    """Streams of noise, all of which get a clip at a time."""

    def __init__(self, engine: Engine, plan: Preprocessing, count: int, width: int, height: int) -> None:
        self._engine, self._plan, self._index = engine, engine.plan, 0
        frames = np.random.default_rng(0).integers(0, 255, (plan.num_frames, height, width, 3), np.uint8)
        self._clips = [Clip(f"s{number}", 0, 0.0, 0.0, 0.0, frames) for number in range(count)]
        corners = np.array([[0.1, 0.2, 0.3, 0.9], [0.4, 0.2, 0.6, 0.9], [0.7, 0.2, 0.9, 0.9]], np.float32)
        people = PersonBoxes(corners, np.ones(PEOPLE, np.float32), np.arange(PEOPLE))
        self._boxes = [people] * count if engine.wants_boxes else None

    def age(self, clips: int) -> None:
        """Let every stream be as old as if it had seen so many clips; what they showed makes no difference here."""
        for stream_id in [clip.stream_id for clip in self._clips]:
            known = self._engine.snapshot(stream_id)
            centres, memory = known.centres_seconds, known.memory
            for age in range(1, clips):
                if self._plan is not None:
                    centres = centres_after(self._plan, self._engine.reach_clips, centres, age, float(age))
            if memory is not None:
                memory = replace(memory, ages=torch.full_like(memory.ages, clips))
            self._engine.forget(stream_id)
            self._engine.restore(stream_id, StreamSnapshot(memory, clips, centres))
        self._index = clips

    def step(self) -> float:
        """Answer the next clip of every stream; seconds."""
        clips = [replace(clip, index=self._index, centre_seconds=float(self._index), session=0) for clip in self._clips]
        self._index += 1
        began = time.perf_counter()
        self._engine.step(clips, self._boxes)
        return time.perf_counter() - began


def bytes_after(name: str, memory: MemoryConfig, width: int, height: int) -> tuple[int, int]:
    """Bytes of a stream's memory after one clip and after `FLAT_CLIPS`."""
    entry = model_entry(name)
    model = MeMViT(replace(entry.config, memory=memory)).eval()
    images = torch.zeros(1, 3, entry.config.frames, height, width)
    with torch.inference_mode():
        _, update = model.step(images, [torch.tensor([[4.0, 4.0, width / 2, height / 2]])])
        assert update is not None
        pool = SlotPool(memory, capacity=1)
        pool.write(["a"], update, [[1]])
        first = pool.memory("a").nbytes
        for _ in range(FLAT_CLIPS - 1):
            pool.write(["a"], update, [[1]])
    return first, pool.memory("a").nbytes


def main() -> None:
    """Read the arguments, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="memvit_16_16x4.ava_k400")
    parser.add_argument("--slots", type=int, default=14)
    parser.add_argument("--streams", type=int, default=1, help="clips of so many streams make a batch")
    parser.add_argument("--repeats", type=int, default=16, help="timed steps of each kind")
    parser.add_argument("--age", type=int, default=100, help="clips that a stream has seen before these")
    parser.add_argument("--hop", type=float, default=1.0, help="seconds between the clips of a stream")
    options = parser.parse_args()
    height = model_entry(options.model).preprocessing.short_side
    width = height * 4 // 3
    streams = {}
    for kind, memory in kinds_of(options.model, options.slots).items():
        engine, plan = engine_of(options.model, memory)
        streams[kind] = Streams(engine, plan, options.streams, width, height)
    for running in streams.values():
        running.step()
        running.age(options.age)
        running.step()
    found: dict[str, list[float]] = {kind: [] for kind in streams}
    for _ in range(options.repeats):
        for kind, running in streams.items():
            found[kind].append(running.step())
    print(f"{options.model}, {width}×{height} pixels, {options.streams} streams, {torch.get_num_threads()} threads")
    for kind, seconds in found.items():
        mean = statistics.mean(seconds)  # the number of slots that are filled changes from clip to clip
        ratio = statistics.mean(one / none for one, none in zip(seconds, found["none"], strict=True))
        real_time = options.streams * options.hop / mean
        print(
            f"{kind:6} {mean / options.streams:.4f} s a clip, {ratio:.3f} of none, {real_time:.1f} streams in real time"
        )
    memory = kinds_of(options.model, options.slots)["slots"]
    assert memory is not None
    first, last = bytes_after(options.model, memory, width, height)
    print(f"slots  {first / 1e6:.2f} MB a stream after one clip, {last / 1e6:.2f} MB after {FLAT_CLIPS} clips")


if __name__ == "__main__":
    main()
