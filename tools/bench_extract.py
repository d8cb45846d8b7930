"""Compare extraction with a plain loop over the same videos and model, or measure segments of one long video.

    python -m tools.make_archive data/archive
    python -m tools.bench_extract data/archive --model memvit_tiny_8x4 [--rounds 5] [--workers 1]
    python -m tools.bench_extract data/archive/long*.mp4 --segments 1 2 4

The loop has no threads, no archive and no resume: it opens a video, cuts clips, runs the model and collects the results
in a list. Both run in turns in one process; ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from memvit.engine.settings import ModelSettings
from memvit.types import MemvitError
from memvit.video.clips.sampler import ClipSampler
from memvit.video.sources.open import open_source
from pipelines.extract.inputs import find_videos
from pipelines.extract.job import JobSummary
from pipelines.extract.resume import ResumePolicy
from pipelines.extract.run import Setup, extract, set_up


def plain_loop(locations: Sequence[str], settings: ModelSettings) -> tuple[float, int, float]:
    """Process the videos without any pipeline; return wall seconds, number of clips, and seconds in the model."""
    engine, _, boxes = settings.build()
    assert boxes is not None or not engine.wants_boxes
    results: list[Any] = []
    in_model = 0.0
    began = time.perf_counter()
    for location in locations:
        try:
            with open_source(location) as source:
                for clip in ClipSampler.for_model(location, engine.preprocessing, hop_seconds=1.0).clips(source):
                    started = time.perf_counter()
                    results += engine.step([clip], boxes.boxes([clip]) if boxes else None)
                    in_model += time.perf_counter() - started
        except MemvitError:
            continue
        engine.forget(location)
    return time.perf_counter() - began, len(results), in_model


def pipeline(locations: Sequence[str], setup: Setup, out: Path) -> JobSummary:
    """Extract the videos into a new archive."""
    shutil.rmtree(out, ignore_errors=True)
    return extract(locations, str(out), setup, ResumePolicy())


def compare(locations: Sequence[str], settings: ModelSettings, rounds: int, scratch: Path) -> dict[str, Any]:
    """Measure loop and pipeline in turns, print every round, and return all figures."""
    setup = set_up(settings, 1, None, batch=None, segment_seconds=None)
    loops, jobs, shares = [], [], []
    for turn in range(rounds):
        seconds, clips, in_model = plain_loop(locations, settings)
        summary = pipeline(locations, setup, scratch / "a.zarr")
        loops.append(seconds)
        jobs.append(summary.wall_seconds)
        shares.append(summary.timings.busy)
        print(
            f"round {turn + 1}: loop {seconds:.1f} s ({clips} clips, model {100 * in_model / seconds:.0f} %), extract "
            f"{summary.wall_seconds:.1f} s ({len(summary.done)} done, {len(summary.failed)} failed, model busy "
            f"{100 * summary.timings.busy:.0f} %)",
            flush=True,
        )
    ratio = statistics.median(loop / job for loop, job in zip(loops, jobs, strict=True))
    print(f"extract is {ratio:.2f} × as fast as the loop; model busy {100 * statistics.median(shares):.0f} %")
    return {"loop_seconds": loops, "extract_seconds": jobs, "ratio": ratio, "busy": shares}


def segments(
    location: str, settings: ModelSettings, counts: Sequence[int], workers: int, scratch: Path
) -> list[dict[str, Any]]:
    """Extract one video in each of these numbers of segments.

    Returns for each the wall seconds, the processed clips, and the largest difference to the first archive.
    """
    with open_source(location) as source:
        duration = source.info.duration_seconds or 0.0
    rows: list[dict[str, Any]] = []
    for count in counts:
        setup = set_up(settings, workers, None, batch=1, segment_seconds=duration / count)
        out = scratch / f"{count}.zarr"
        summary = pipeline([location], setup, out)
        rows.append(
            {"segments": count, "seconds": summary.wall_seconds, "clips": summary.clips}
            | {f"difference_{name}": value for name, value in _difference(scratch / f"{counts[0]}.zarr", out).items()}
        )
        print(", ".join(f"{key} {value:.6g}" for key, value in rows[-1].items()), flush=True)
    return rows


def _difference(one: Path, other: Path) -> dict[str, float]:
    """Return the largest absolute difference of features and of scores of the first video of two archives."""
    a, b = (next(iter(zarr.open_group(path, mode="r")["videos"].groups()))[1] for path in (one, other))  # type: ignore[union-attr]
    return {name: float(np.abs(a[name][:] - b[name][:]).max()) for name in ("features", "action_scores") if name in a}  # type: ignore[operator,index]


def main() -> None:
    """Measure what the arguments ask for, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("--model", default="memvit_tiny_8x4")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--segments", type=int, nargs="+")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    settings = ModelSettings(options.model, options.checkpoint, random_weights=options.checkpoint is None, boxes="full")
    locations = find_videos(options.inputs)
    found: Any
    with tempfile.TemporaryDirectory() as scratch:
        if options.segments:
            found = segments(locations[0], settings, options.segments, options.workers, Path(scratch))
        else:
            found = compare(locations, settings, options.rounds, Path(scratch))
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
