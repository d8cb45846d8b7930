"""Seconds a clip of our models and their peers, side by side in one run.

Reports, a model: median seconds of a forward pass, multiply-accumulates, parameters, and which share of this machine's
measured matmul peak that makes. Peers that are not installed are left out. Needs torch and torchvision only.

    python tools/bench_model.py                          # MeMViT-16 against torchvision's and pytorchvideo's MViT
    python tools/bench_model.py --family images          # every size against timm; --family video against torchvision
    python tools/bench_model.py --family images --batch 8 --model mvitv2_s.in1k
    python tools/bench_model.py --model memvit_24_32x3.ava_k600 --repeats 3 --json bench.json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout on a bare machine

from memvit.models import MODELS, Memory, MeMViT, MViT, create_model, list_models, model_entry
from memvit.runtime import MemoryPool, Precision, Runner, for_device
from memvit.runtime.cpu.onednn import PackedLinear, can_pack
from memvit.runtime.flops import count_macs, count_parameters
from tools.peers import FAMILIES, peer_of, pytorchvideo_mvit, torchvision_video


@dataclass(frozen=True)
class Contender:
    """A model with inputs to call it on."""

    name: str
    model: nn.Module
    arguments: tuple[object, ...]
    keywords: dict[str, object]
    running: Callable[..., object] | None = None
    """What is called, where that is another form of the model: as the engine runs it."""

    @property
    def is_peer(self) -> bool:
        """Whether others wrote it."""
        return self.name.startswith(("torchvision", "timm"))


@dataclass(frozen=True)
class Row:
    """What one contender did."""

    name: str
    seconds: float
    """Median of a forward pass."""
    spread: float
    """(slowest - fastest) / median."""
    gmacs: float
    million_parameters: float
    share_of_peak: float
    relative: float
    """Seconds over those of the first peer that follows, or of the first row where there is none."""


def ours(name: str, device: torch.device, dtype: torch.dtype, batch: int) -> Iterator[Contender]:
    """One of our models; a MeMViT in its steady state, without memory, and with longer clips instead of memory."""
    model = create_model(name).to(device, dtype)
    assert isinstance(model, MeMViT | MViT)
    config = model.config
    shape = (batch, 3, config.frames, config.crop, config.crop)
    clips = torch.randn(
        shape if config.frames > 1 else (batch, 3, config.crop, config.crop), device=device, dtype=dtype
    )
    if not isinstance(model, MeMViT):
        yield Contender(name, model, (clips,), {}, as_the_engine_does(model))
        return
    people = None
    if config.head.kind == "action":
        side = float(config.crop)
        person = torch.tensor([[0, 0, side / 2, side], [side / 3, 0, side, side]], device=device)
        people = [person] * batch
    memory = None
    with torch.inference_mode():
        for _ in range((config.memory.steps if config.memory else 0) + 1):
            _, memory = model(clips, people, memory)
    running = as_the_engine_does(model)
    yield Contender(name, model, (clips, people, memory), {}, remembering(running, batch))
    yield Contender(f"{name}, no memory", model, (clips, people), {"remember": False}, running)
    longer = MeMViT(replace(config, frames=2 * config.frames, memory=None)).to(device, dtype).eval()
    clips = torch.cat((clips, clips), dim=2)
    yield Contender(f"{name}, no memory, clips twice as long", longer, (clips, people), {}, as_the_engine_does(longer))


def as_the_engine_does(model: MeMViT | MViT) -> Runner:
    """With the runner of its device."""
    weights = next(model.parameters())
    precision: Precision = "bfloat16" if weights.dtype == torch.bfloat16 else "float32"
    return for_device(model, weights.device, precision, preprocessing=MODELS["memvit_tiny_8x4"].preprocessing)


def remembering(runner: Runner, batch: int) -> Callable[..., object]:
    """Steps of streams whose memories lie in a pool."""
    plan = runner.network.config.memory
    assert plan is not None
    pool, stream_ids = MemoryPool(plan), [str(stream) for stream in range(batch)]

    def step(clips: Tensor, people: list[Tensor] | None, memory: Memory) -> object:
        if not len(pool):
            for stream, stream_id in enumerate(stream_ids):
                pool.restore(stream_id, memory.select([stream]))
        output, update = runner.step(clips, people, pool.view(stream_ids))
        assert update is not None
        pool.write(stream_ids, update)
        return output

    return step


def peers(device: torch.device, dtype: torch.dtype, batch: int) -> Iterator[Contender]:
    """What a video model of this size costs elsewhere: torchvision's `mvit_v2_s` and pytorchvideo's MViT."""
    clips = torch.randn(batch, 3, 16, 224, 224, device=device, dtype=dtype)
    video = torchvision_video(model_entry("mvitv2_s_16x4.k400").config)
    yield Contender("torchvision mvit_v2_s", video.to(device, dtype).eval(), (clips,), {})
    other = pytorchvideo_mvit()
    if other is not None:
        yield Contender("pytorchvideo MViT-B 16x4", other.to(device, dtype).eval(), (clips,), {})


def with_peer(name: str, device: torch.device, dtype: torch.dtype, batch: int) -> Iterator[Contender]:
    """One of our models, then the same size in timm or torchvision on the same input."""
    contender = next(ours(name, device, dtype, batch))
    yield contender
    peer = peer_of(name)
    if peer is not None:
        yield Contender(peer[0], peer[1].to(device, dtype).eval(), contender.arguments, {})


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call, waiting for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def matmul_peaks(device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """Multiply-accumulates a second of the best of several square matmuls: torch's own, and oneDNN's on a CPU."""
    side = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    multiply: dict[str, Callable[[], Tensor]] = {"torch": lambda: left @ right}
    if device.type == "cpu" and can_pack(dtype):
        layer = PackedLinear(right, torch.zeros(side, dtype=dtype))
        multiply["oneDNN"] = lambda: layer(left)
    for once in multiply.values():
        once()
    return {name: side**3 / min(seconds_of(once, device) for _ in range(8)) for name, once in multiply.items()}


@torch.inference_mode()
def measure(contenders: list[Contender], repeats: int, device: torch.device, dtype: torch.dtype) -> list[Row]:
    """Run all contenders in turns, so that a noisy machine is equally noisy to all."""
    times: list[list[float]] = [[] for _ in contenders]
    peaks = matmul_peaks(device, dtype)
    for turn in range(repeats + 1):
        for contender, taken in zip(contenders, times, strict=True):
            model = contender.running or contender.model
            seconds = seconds_of(partial(model, *contender.arguments, **contender.keywords), device)
            if turn > 0:  # the first turn warms up
                taken.append(seconds)
        peaks = {name: max(peak, peaks[name]) for name, peak in matmul_peaks(device, dtype).items()}
    peak = max(peaks.values())
    medians = [statistics.median(taken) for taken in times]
    references = [
        next((medians[at] for at in range(place, len(medians)) if contenders[at].is_peer), medians[0])
        for place in range(len(medians))
    ]
    rows = []
    for contender, taken, median, reference in zip(contenders, times, medians, references, strict=True):
        macs = count_macs(contender.model, *contender.arguments, **contender.keywords)
        rows.append(
            Row(
                contender.name,
                median,
                (max(taken) - min(taken)) / median,
                macs / 1e9,
                count_parameters(contender.model) / 1e6,
                macs / median / peak,
                median / reference,
            )
        )
    found = ", ".join(f"{value / 1e9:.0f} ({name})" for name, value in peaks.items())
    print(f"matmul peak, G multiply-accumulates/s: {found}; shares are of the largest", file=sys.stderr)
    return rows


def table(rows: list[Row]) -> str:
    """A Markdown table."""
    lines = [
        "| model | s / call | spread | × peer | GMACs | M parameters | share of matmul peak |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.name} | {row.seconds:.4f} | {row.spread:.0%} | {row.relative:.3f} | {row.gmacs:.1f} | "
        f"{row.million_parameters:.1f} | {row.share_of_peak:.0%} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", action="append", choices=list_models(), help="several times for several; with --family, those of it"
    )
    parser.add_argument("--family", choices=tuple(FAMILIES), help="every size of it, each against its peer")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    options = parser.parse_args()

    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    torch.manual_seed(0)
    contenders: list[Contender] = []
    for name in FAMILIES[options.family] if options.family else ():
        if name in (options.model or [name]):
            contenders += with_peer(name, device, dtype, options.batch)
    if not options.family:
        for name in options.model or ["memvit_16_16x4.ava_k400", "mvitv2_s_16x4.k400"]:
            contenders += ours(name, device, dtype, options.batch)
    if not (options.no_peers or options.family):
        contenders += peers(device, dtype, options.batch)
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu"
    print(
        f"torch {torch.__version__}, {machine}, {torch.get_num_threads()} threads, {options.dtype}, "
        f"batch {options.batch}, median of {options.repeats}",
        file=sys.stderr,
    )
    rows = measure(contenders, options.repeats, device, dtype)
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
