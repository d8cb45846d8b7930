"""How well an engine remembers: LongCue's mAP on videos that are made for the purpose."""

from __future__ import annotations

import tempfile
from pathlib import Path

from memvit.boxes import open_boxes
from memvit.datasets.ava_files import read_table
from memvit.datasets.long_cue import SAW, SHOWS, Scene, write_boxes, write_video
from memvit.engine import Engine
from memvit.evaluation.ava import evaluate, of_boxes
from memvit.labels import Labels
from memvit.results import AvaCsvWriter
from memvit.video.sampler import ClipSampler
from memvit.video.source import open_source

HELD_OUT_SEED = 2_000_000
"""Scenes from here on are used in no training."""


def long_cue_map(engine: Engine, labels: Labels, *, videos: int, seconds: float = 24.0) -> float:
    """mAP of what actors showed, over held-out videos that are written, decoded and watched; 0..1."""
    saw = {len(SHOWS) + number: name for number, name in enumerate(SAW, 1)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        detections = folder / "found.csv"
        truth = folder / "truth.csv"
        with AvaCsvWriter(detections, labels) as writer:
            for number in range(videos):
                scene = Scene(HELD_OUT_SEED + number, seconds=seconds, width=384, height=384, frames_per_second=25)
                video = f"v{number}"
                write_video(scene, folder / f"{video}.mp4")
                write_boxes(scene, video, folder / f"{video}.csv")
                with truth.open("a") as file:
                    file.write((folder / f"{video}.csv").read_text())
                boxes = open_boxes(str(folder / f"{video}.csv"))
                sampler = ClipSampler.for_model(video, engine.preprocessing, hop_seconds=1.0)
                with open_source(folder / f"{video}.mp4") as source:
                    for clip in sampler.clips(source):
                        writer.write(engine.step([clip], boxes.boxes([clip]))[0])
                engine.forget(video)
        expected = read_table(truth)
        return evaluate(expected, of_boxes(read_table(detections), expected), label_map=saw)["mAP@0.5IOU"]
