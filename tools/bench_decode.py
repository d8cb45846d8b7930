"""Decoding for a model, files → resized frames at its instants: this package against PyAV, torchcodec and decord.

    python -m tools.bench_decode VIDEO… [--rounds 5] [--out decode.json]

Everybody gives the same frames: those nearest the instants of 16 frames every 4th (at 30 fps), a clip a second, the
short side at 224 pixels. Rates are frames of the file per second of wall time, medians over rounds in which all take
turns; whoever is not installed is left out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np

from memvit.video.clips.sampler import ClipSampler, short_side_size
from memvit.video.sources.open import open_source

FRAMES, INTERVAL, SIDE = 16, 4, 224


def ours(path: Path) -> int:
    """Source and sampler; returns how many distinct frames were made."""
    sampler = ClipSampler("v", num_frames=FRAMES, frame_interval=INTERVAL, hop_seconds=1.0, short_side=SIDE)
    with open_source(path) as source:
        return sum(len(clip.frames) for clip in sampler.clips(source))


@lru_cache
def wanted_indices(path: Path) -> list[int]:
    """Indices of the frames that the clips use, for those who decode by index; not part of the measured time."""
    with open_source(path) as source:
        rate = source.info.frames_per_second or 30.0
        total = sum(1 for _ in source)
    half = FRAMES * INTERVAL // 2
    instants = {
        (30 * centre - half + INTERVAL * place) / 30
        for centre in range(int(total / rate) + 1)
        for place in range(FRAMES)
    }
    return sorted({min(max(round(instant * rate), 0), total - 1) for instant in instants})


def plain_pyav(path: Path) -> int:
    """Every frame decoded (on all cores), wanted ones resized and converted."""
    wanted = set(wanted_indices(path))
    made = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        width, height = short_side_size(stream.width, stream.height, SIDE)
        for index, frame in enumerate(container.decode(stream)):
            if index in wanted:
                frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="BILINEAR")
                made += 1
    return made


def with_decord(path: Path) -> int:
    """decord resizes while it decodes."""
    import decord

    first = decord.VideoReader(str(path))[0].shape
    width, height = short_side_size(first[1], first[0], SIDE)
    reader = decord.VideoReader(str(path), width=width, height=height)
    indices = wanted_indices(path)
    return sum(len(reader.get_batch(indices[start : start + 32]).asnumpy()) for start in range(0, len(indices), 32))


def with_torchcodec(path: Path) -> int:
    """torchcodec decodes by index; torch resizes."""
    import torch

    decoders: Any = importlib.import_module("torchcodec.decoders")

    decoder = decoders.VideoDecoder(str(path), num_ffmpeg_threads=0)
    indices = wanted_indices(path)
    width, height = short_side_size(decoder.metadata.width or SIDE, decoder.metadata.height or SIDE, SIDE)
    made = 0
    for start in range(0, len(indices), 32):
        batch = decoder.get_frames_at(indices[start : start + 32]).data
        torch.nn.functional.interpolate(batch, (height, width), mode="bilinear", antialias=False)
        made += len(batch)
    return made


READERS: dict[str, Callable[[Path], int]] = {
    "memvit": ours,
    "PyAV": plain_pyav,
    "torchcodec": with_torchcodec,
    "decord": with_decord,
}


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    for path in options.videos:
        with open_source(path) as source:
            total = sum(1 for _ in source)
        wanted_indices(path)
        seconds: dict[str, list[float]] = {name: [] for name in READERS}
        for _ in range(options.rounds):
            for name, read in READERS.items():
                began = time.perf_counter()
                try:
                    read(path)
                except Exception as error:
                    print(f"{name} left out: {str(error).splitlines()[0] if str(error) else error!r}")
                    continue
                seconds[name].append(time.perf_counter() - began)
        rates = {name: total / statistics.median(times) for name, times in seconds.items() if times}
        found[path.name] = rates
        best = max(rate for name, rate in rates.items() if name != "memvit")
        shown = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
        print(
            f"{path.name}: {total} frames; frames/s: {shown}; memvit is {rates['memvit'] / best:.2f} × the best other"
        )
    mean = np.exp(
        np.mean([np.log(r["memvit"] / max(v for n, v in r.items() if n != "memvit")) for r in found.values()])
    )
    print(f"geometric mean: {mean:.2f} ×")
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
