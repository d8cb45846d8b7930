"""What a precision costs and what it saves: seconds a clip, and how well the demo model still remembers.

    python -m tools.precision_table [--model memvit_16_16x4.ava_k400] [--rounds 7] [--videos 8]

Times are of one engine a precision, clip after clip in turns, medians; mAP is that of the packaged checkpoint on
held-out LongCue videos, where everything depends on memory.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from memvit.engine.engine import Engine
from memvit.engine.settings import PRECISIONS
from memvit.evaluation.long_cue import long_cue_map, write_held_out
from memvit.labels import Labels
from memvit.models import MODELS, MeMViT, MViT, create_model, load_safetensors
from memvit.runtime import Precision
from memvit.types import Clip, PersonBoxes
from pipelines.demo import CHECKPOINT


def seconds_a_clip(name: str, rounds: int) -> dict[Precision, float]:
    """Medians, every precision in its turn."""
    preprocessing = MODELS[name].preprocessing
    torch.manual_seed(0)
    engines = {precision: Engine(build(name), preprocessing, precision=precision) for precision in PRECISIONS}
    side = preprocessing.short_side
    frames = np.random.default_rng(0).integers(256, size=(preprocessing.num_frames, side, side, 3), dtype=np.uint8)
    people = PersonBoxes(np.array([[0.2, 0.1, 0.6, 0.9]], np.float32), np.ones(1, np.float32))
    times: dict[Precision, list[float]] = {precision: [] for precision in PRECISIONS}
    for index in range(rounds + 3):
        for precision, engine in engines.items():
            clip = Clip("a", index, float(index), float(index), float(index), frames)
            began = time.perf_counter()
            engine.step([clip], [people] if engine.wants_boxes else None)
            times[precision].append(time.perf_counter() - began)
    return {precision: statistics.median(found[3:]) for precision, found in times.items()}


def build(name: str) -> MeMViT | MViT:
    """With random weights, which take the same time."""
    model = create_model(name)
    assert isinstance(model, MeMViT | MViT)
    return model


def remembered(precision: Precision, videos: Path) -> float:
    """mAP of the packaged checkpoint on LongCue's videos in a folder."""
    with resources.as_file(resources.files("memvit") / CHECKPOINT) as checkpoint:
        model, description = load_safetensors(checkpoint)
    labels = Labels(description.classes, description.first_id)
    engine = Engine(model, description.preprocessing, precision=precision)
    return long_cue_map(engine, labels, videos)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="memvit_16_16x4.ava_k400")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--videos", type=int, default=8)
    options = parser.parse_args()
    seconds = seconds_a_clip(options.model, options.rounds)
    print(f"| precision | s / clip, {options.model} | × float32 | LongCue mAP |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as videos:
        write_held_out(Path(videos), videos=options.videos)
        for precision in PRECISIONS:
            score = remembered(precision, Path(videos))
            ratio = seconds["float32"] / seconds[precision]
            print(f"| {precision} | {seconds[precision]:.3f} | {ratio:.2f} | {score:.4f} |", flush=True)


if __name__ == "__main__":
    main()
