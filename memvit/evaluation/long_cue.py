"""Measures how well an engine remembers: LongCue's mAP on videos that are generated for the test."""

from __future__ import annotations

import tempfile
from pathlib import Path

from memvit.boxes import open_boxes
from memvit.datasets.ava_files import read_table
from memvit.datasets.long_cue import SAW, SHOWS, Scene, write_boxes, write_video
from memvit.engine.engine import Engine
from memvit.evaluation.ava import evaluate, select_boxes
from memvit.labels import Labels
from memvit.results.ava_csv import AvaCsvWriter
from memvit.video.clips.sampler import ClipSampler
from memvit.video.sources.open import open_source

HELD_OUT_SEED = 2_000_000
"""Scenes with this seed or a larger one are used in no training."""


def write_held_out(folder: Path, *, videos: int, seconds: float = 24.0) -> None:
    """Write videos that no training used, with their boxes and `truth.csv`, for `long_cue_map`."""
    rows = []
    for number in range(videos):
        scene = Scene(HELD_OUT_SEED + number, seconds=seconds, width=384, height=384, frames_per_second=25)
        write_video(scene, folder / f"v{number}.mp4")
        write_boxes(scene, f"v{number}", folder / f"v{number}.csv")
        rows.append((folder / f"v{number}.csv").read_text())
    (folder / "truth.csv").write_text("".join(rows))


def long_cue_map(engine: Engine, labels: Labels, folder: Path) -> float:
    """mAP, 0..1, of the "saw" actions over the held-out videos of a folder, which are decoded and watched."""
    saw = {len(SHOWS) + number: name for number, name in enumerate(SAW, 1)}
    with tempfile.TemporaryDirectory() as name:
        detections = Path(name) / "found.csv"
        with AvaCsvWriter(detections, labels) as writer:
            for path in sorted(folder.glob("v*.mp4")):
                boxes = open_boxes(str(path.with_suffix(".csv")))
                sampler = ClipSampler.for_model(path.stem, engine.preprocessing, hop_seconds=1.0)
                with open_source(path) as source:
                    for clip in sampler.clips(source):
                        writer.write(engine.step([clip], boxes.boxes([clip]))[0])
                engine.forget(path.stem)
        expected = read_table(folder / "truth.csv")
        return evaluate(expected, select_boxes(read_table(detections), expected), label_map=saw)["mAP@0.5IOU"]
