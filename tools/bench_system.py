"""Source → result, many streams on one model: what is held in real time, and how late the answers are.

    python -m tools.bench_system --model memvit_tiny_8x4 --streams 1 8 32 128 --seconds 20
    python -m tools.bench_system --model memvit_16_16x4.ava_k400 --streams 1 2 --seconds 40 --hop 2
    python -m tools.bench_system --model memvit_tiny_8x4 --streams 1 8 32 --video street.mp4     # decoding, too
    python -m tools.bench_system --model memvit_16_16x4.ava_k400 --file street.mp4     # how much is the model
    python -m tools.bench_system --detector fasterrcnn_mobilenet_v3_large_320_fpn --track-rate 0 8 --video street.mp4

Without --video the frames are made beforehand and come at the rate that the model samples: cameras whose decoding is
somebody else's. With it, every stream decodes the file at its own pace. Streams begin at different times within a hop.
Late clips are dropped after --max-age seconds, as in `memvit watch`; "held" is the share of clips that was answered.
Results of the streams that lost none are compared with those of each stream alone.

--detector runs a person detector with random weights at each --track-rate, in turns, so that its cost can be compared;
the people that it finds are made up.

--file reads a file as fast as can be: how much faster than it plays, and which share of the time is not the model's, by
running the model over the same clips once more with nothing beside it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from memvit.boxes import BoxSource
from memvit.engine.engine import Engine
from memvit.engine.settings import ModelSettings
from memvit.results.result import Result
from memvit.streams.policy import LivePolicy
from memvit.streams.watcher import ClipResult, Watcher
from memvit.types import Image
from memvit.video.sources.open import open_source
from memvit.video.sources.realtime import RealtimeSource
from memvit.video.sources.source import ReadCounts, Source, SourceInfo
from tools.made_people import MadePeople


class MadeFrame:
    """A frame that is there already, at the size that the model wants."""

    def __init__(self, image: Image, index: int, pts_seconds: float) -> None:
        self._image, self.index, self.pts_seconds = image, index, pts_seconds
        self.height, self.width = image.shape[:2]
        self.received_at = time.monotonic()
        self.container_seconds = self.captured_unix = None

    def rgb(self, width: int | None = None, height: int | None = None) -> Image:
        """As it is."""
        return self._image


class MadeSource(Source):
    """A camera of noise pictures, different from stream to stream."""

    def __init__(self, pictures: list[Image], rate: float, delay_seconds: float, seconds: float | None) -> None:
        self.counts = ReadCounts()
        height, width = pictures[0].shape[:2]
        self.info = SourceInfo("made", width, height, rate, None, None, seconds is None)
        self._pictures, self._rate, self._limit = pictures, rate, seconds
        self._index = 0
        self._began_at = time.monotonic() + delay_seconds

    def __next__(self) -> MadeFrame:
        pts_seconds = self._index / self._rate
        if self._limit is None:
            time.sleep(max(0.0, self._began_at + pts_seconds - time.monotonic()))
        elif pts_seconds > self._limit:
            raise StopIteration
        self._index += 1
        return MadeFrame(self._pictures[self._index % len(self._pictures)], self._index, pts_seconds)

    def close(self) -> None:
        """Nothing to let go of."""


def pictures_of(number: int, side: int) -> list[Image]:
    """A stream's pictures: a pattern that wanders, in 16:9."""
    generator = np.random.default_rng(number)
    coarse = generator.integers(256, size=(side // 16, side // 9, 3), dtype=np.uint8)
    picture = np.kron(coarse, np.ones((16, 16, 1), np.uint8))[:side, : side * 16 // 9]
    return [np.ascontiguousarray(np.roll(picture, 5 * step, axis=1)) for step in range(37)]


def measure(
    engine: Engine, boxes: BoxSource | None, count: int, track_rate: float, options: argparse.Namespace
) -> tuple[dict[str, Any], dict[str, list[Result]]]:
    """Figures of `count` streams together, and their results."""
    watcher = Watcher(engine, boxes, hop_seconds=options.hop, track_rate=track_rate, max_batch_clips=options.batch)
    watcher.warm_up()
    rate = 30 / engine.preprocessing.frame_interval
    policy = LivePolicy(max_age_seconds=options.max_age)
    for number in range(count):
        watcher.add(str(number), "", connect=opener(engine, number, count, rate, options), is_live=True, policy=policy)
    stopping = threading.Event()
    timer = threading.Timer(options.seconds, stopping.set)
    timer.start()
    results: dict[str, list[Result]] = {str(number): [] for number in range(count)}
    began, cpu = time.monotonic(), time.process_time()
    for event in watcher.events(stopping):
        if isinstance(event, ClipResult):
            results[event.stream_id].append(event.result)
    wall, cpu = time.monotonic() - began, time.process_time() - cpu
    readers = list(watcher.streams.values())
    watcher.close()
    latencies = [result.latency for of_one in results.values() for result in of_one if result.latency]
    answered = len(latencies)
    detections = boxes.detections if isinstance(boxes, MadePeople) else 0
    missed = sum(reader.stats.missed_clips for reader in readers)
    seconds = np.array([latency.seconds for latency in latencies])
    batches = len({latency.model_seconds for latency in latencies})
    return {
        "streams": count,
        "track_rate": track_rate,
        "held": round(answered / (answered + missed), 3),
        "clips_per_second": round(answered / wall, 2),
        "p50_seconds": round(float(np.percentile(seconds, 50)), 3),
        "p99_seconds": round(float(np.percentile(seconds, 99)), 3),
        "queue_p50_seconds": round(float(np.percentile([latency.queue_seconds for latency in latencies], 50)), 3),
        "boxes_p50_seconds": round(float(np.percentile([latency.boxes_seconds for latency in latencies], 50)), 3),
        "detections_per_second": round(detections / wall, 1),
        "thinned_track_frames": sum(reader.stats.thinned_track_frames for reader in readers),
        "model_p50_seconds": round(float(np.percentile([latency.model_seconds for latency in latencies], 50)), 3),
        "cores_used": round(cpu / wall, 2),
        "mean_batch": round(answered / max(1, batches), 2),
    }, results


def measure_file(
    engine: Engine, boxes: BoxSource | None, track_rate: float, options: argparse.Namespace
) -> dict[str, Any]:
    """Figures of one file from source to results, rounds in turns with the model alone; medians."""
    Watcher(engine, boxes, hop_seconds=options.hop).warm_up()
    whole, alone, answers = [], [], []
    for number in range(options.rounds):
        watcher = Watcher(engine, boxes, hop_seconds=options.hop, track_rate=track_rate)
        watcher.add(f"file {number}", "", connect=partial(open_source, options.file), is_live=False)
        began = time.perf_counter()
        answers = [event for event in watcher.events() if isinstance(event, ClipResult)]
        whole.append(time.perf_counter() - began)
        watcher.close()
        began = time.perf_counter()
        for answer in answers:
            clip = replace(answer.clip, stream_id=f"alone {number}")
            people = answer.result.boxes
            engine.step([clip], None if people is None else [people])
        alone.append(time.perf_counter() - began)
        engine.forget(f"alone {number}")
    wall, model = statistics.median(whole), statistics.median(alone)
    shares = [1 - of_model / of_all for of_model, of_all in zip(alone, whole, strict=True)]
    return {
        "track_rate": track_rate,
        "clips": len(answers),
        "seconds": round(wall, 2),
        "times_real_time": round(len(answers) * options.hop / wall, 2),
        "seconds_of_the_model": round(model, 2),
        "share_outside_the_model": round(statistics.median(shares), 3),
    }


def opener(
    engine: Engine, number: int, count: int, rate: float, options: argparse.Namespace, *, alone: bool = False
) -> Callable[[], Source]:
    """How a stream is opened: at its own moment within a hop, or all at once for the comparison."""
    if options.video:
        return partial(open_paced, options.video)
    limit = options.seconds if alone else None
    pictures = pictures_of(number, engine.preprocessing.short_side)
    return lambda: MadeSource(pictures, rate, options.hop * number / count, limit)


def open_paced(path: Path) -> Source:
    """A file as a camera."""
    return RealtimeSource(open_source(path), partial(open_source, path))


def largest_difference(
    engine: Engine, boxes: BoxSource | None, results: dict[str, list[Result]], options: argparse.Namespace
) -> float | None:
    """Of scores, over up to four streams that lost nothing, against each alone; None if there are none."""
    whole = [name for name, found in results.items() if found and not any(result.missed_clips for result in found)]
    if options.video or not whole:
        return None
    worst = 0.0
    for name in whole[:4]:
        watcher = Watcher(engine, boxes, hop_seconds=options.hop)
        connect = opener(engine, int(name), 1, 30 / engine.preprocessing.frame_interval, options, alone=True)
        watcher.add("alone", "", connect=connect, is_live=False)
        alone = [event.result for event in watcher.events() if isinstance(event, ClipResult)]
        pairs = zip(results[name], alone, strict=False)
        worst = max([worst, *(float(np.abs(one.scores - other.scores).max()) for one, other in pairs)])
    return worst


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="memvit_tiny_8x4")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--hop", type=float, default=1.0)
    parser.add_argument("--max-age", type=float, default=2.0)
    parser.add_argument("--batch", type=int, help="clips at once at most; by default the watcher's choice")
    parser.add_argument("--threads", type=int, help="of the model; by default torch's choice")
    parser.add_argument("--detector", help="a torchvision detector; by default the whole frame is the only box")
    parser.add_argument("--track-rate", type=float, nargs="+", default=[0.0], help="detections between keyframes, 1/s")
    parser.add_argument("--video", type=Path)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--rounds", type=int, default=5, help="of --file")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    settings = ModelSettings(
        options.model,
        options.checkpoint,
        random_weights=options.checkpoint is None,
        boxes="full",
        device=options.device,
        precision=options.precision,
    )
    rows = []
    for count in [1] if options.file else options.streams:
        for track_rate in options.track_rate:
            engine, _, boxes = settings.build()
            if options.detector:
                boxes = MadePeople(options.detector, engine.device)
            if options.file:
                row = measure_file(engine, boxes, track_rate, options)
            else:
                row, results = measure(engine, boxes, count, track_rate, options)
                row["largest_difference"] = largest_difference(engine, boxes, results, options)
            rows.append(row)
            print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in row.items()), flush=True)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
