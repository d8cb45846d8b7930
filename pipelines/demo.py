"""The demo: make a video that needs memory, watch it with the small model, and show what memory is worth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from importlib import resources
from pathlib import Path

from rich.console import Console

from memvit.boxes import open_boxes
from memvit.datasets.ava_files import read_table
from memvit.datasets.long_cue import HIDDEN_AFTER_SECONDS, SAW, SHOWS, Scene, write_boxes, write_video
from memvit.engine.settings import open_engine
from memvit.evaluation.ava import evaluate
from pipelines.watch.run import WatchOptions, WatchSummary, watch

from .progress import WatchProgress

CHECKPOINT = "data/models/memvit_tiny_slots.safetensors"
HELD_OUT_SEED = 2_000_000


def run_demo(out: Path, seconds: float, seed: int, console: Console) -> int:
    """Write `out/input/shapes.mp4` and its boxes, watch it with and without memory, and return the exit code."""
    source = out / "input"
    source.mkdir(parents=True, exist_ok=True)
    scene = Scene(seed=HELD_OUT_SEED + seed, seconds=seconds, width=384, height=384, frames_per_second=25)
    video, boxes = source / "shapes.mp4", source / "shapes_boxes.csv"
    write_video(scene, video)
    write_boxes(scene, "shapes", boxes, first_person=1)
    _say(console, f"made {video}: {seconds:g} s of H.264; {scene.actors} actors show a coloured disc once, early on")
    _say(console, "watching it: which disc did each actor show? Nothing in the picture tells it any more")
    options = WatchOptions(
        out=out, annotate=True, timeline=True, ava_csv=True, all_scores=True, notes=partial(_truth, scene)
    )
    with WatchProgress(console, options.hop_seconds) as progress:
        summary = _watch(video, boxes, options, progress, remember=True)
    progress.report(summary)
    if summary.failed or summary.interrupted:
        return 1 if summary.failed else 130
    _watch(video, boxes, WatchOptions(out=out / "without_memory", ava_csv=True, all_scores=True), None, remember=False)
    saw = {len(SHOWS) + number: name for number, name in enumerate(SAW, 1)}
    runs = {"with memory": out, "without": out / "without_memory"}
    _say_truth(scene, runs, console)
    truth = read_table(boxes)
    _say(console, "memory holds every clip, in slots that grow with age; mAP from 2 s after the cue to the end:")
    for name, folder in runs.items():
        found = read_table(folder / "shapes.csv")
        precision = evaluate(truth, found, label_map=saw)["mAP@0.5IOU"]
        console.print(f"{name:>12}: [bold]{precision:.3f}[/]")
    return 0


def _truth(scene: Scene, person: int, seconds: float) -> str:
    """What is true of a person at a keyframe, for the annotated video; empty where no action is true."""
    action = scene.action(person - 1, round(seconds))
    return f"true: {(*SHOWS, *SAW)[action - 1]}" if action else ""


def _say_truth(scene: Scene, runs: Mapping[str, Path], console: Console) -> None:
    """A line for each person: what is true, and in how many clips each run gives it the highest score."""
    for person in range(1, scene.actors + 1):
        first = int(scene.cue_seconds[person - 1]) + HIDDEN_AFTER_SECONDS
        true = SAW[scene.cues[person - 1]]
        said = {run: _best_memories(folder / "shapes.jsonl", person, first) for run, folder in runs.items()}
        clips = len(next(iter(said.values())))
        counts = ", ".join(f"in {names.count(true)} {run}" for run, names in said.items())
        _say(console, f"person {person}: {true!r} is true in {clips} clips, and the best answer {counts}")


def _best_memories(path: Path, person: int, first_second: float) -> list[str]:
    """The "saw" action with the highest score of a person in each clip from a second on."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        max((action["score"], action["name"]) for action in found["actions"] if action["name"] in SAW)[1]
        for record in records
        if record["seconds"] >= first_second
        for found in record["people"]
        if found["person"] == person
    ]


def _watch(
    video: Path, boxes: Path, options: WatchOptions, progress: WatchProgress | None, *, remember: bool
) -> WatchSummary:
    with resources.as_file(resources.files("memvit") / CHECKPOINT) as checkpoint:
        engine, labels = open_engine(None, checkpoint, remember=remember)
    on_event = progress.update if progress else lambda stream, event: None
    return watch([str(video)], engine, open_boxes(str(boxes)), labels, options, on_event)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
