"""The demo: make a video, watch it with the small model, and leave everything there is to see."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from memvit.boxes import open_boxes
from memvit.datasets.long_cue import Scene, write_boxes, write_video

from .assemble import choose_labels, open_engine
from .progress import WatchProgress
from .watch import WatchOptions, watch

MODEL = "memvit_tiny_8x4"


def run_demo(out: Path, seconds: float, console: Console) -> int:
    """Write `out/shapes.mp4` and its boxes, watch it, and return the exit code."""
    source = out / "input"
    source.mkdir(parents=True, exist_ok=True)
    scene = Scene(seconds=seconds, width=640, height=400)
    video, boxes = source / "shapes.mp4", source / "shapes_boxes.csv"
    write_video(scene, video)
    write_boxes(scene, "shapes", boxes)
    made = f"made {video}: {scene.actors} moving shapes, {seconds:g} s of H.264, and their boxes, {boxes}"
    console.print(made, markup=False, soft_wrap=True)
    console.print(
        f"watching it with {MODEL}, [bold]untrained[/]: the scores mean nothing yet, the way they go is real",
        soft_wrap=True,
    )

    engine, entry = open_engine(MODEL, None, random_weights=True, device="auto", dtype="auto", remember=True)
    options = WatchOptions(out=out, annotate=True, timeline=True, ava_csv=True)
    with WatchProgress(console, options.hop_seconds) as progress:
        summary = watch(
            [str(video)], engine, open_boxes(str(boxes)), choose_labels(None, entry), options, progress.update
        )
    progress.report(summary)
    return 1 if summary.failed else 130 if summary.interrupted else 0
