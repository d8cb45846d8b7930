"""What a CUDA device makes of this: checks of the numbers, training steps, and a table of speeds.

    python tools/gpu_check.py [--out FOLDER] [--batches 1,4,16,64,256] [--seconds 2] [--skip-speed]

Needs torch, torchvision and, for one row, timm; nothing else of this package's dependencies. First the checks: the
runner of CUDA against the network on the CPU, streams of different age, captured graphs, training steps through NCCL
in one process, and, where pytest is installed, the tests marked `needs_cuda`. Then the table: MeMViT-16 and -24 with
memory, in bfloat16, beside torchvision's `mvit_v2_s` with its best settings: clips a second by batch, share of the
matmul rate of the card as measured in the same run, and the latency of one clip. Writes gpu_check.md and
gpu_check.json. The exit code is 1 if a check fails.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout on a bare machine

from memvit.models import MODELS, MeMViT, create_model
from memvit.runtime import MemoryPool, Runner, for_device
from memvit.runtime.flops import count_clip_macs
from tools.gpu_checks import CHECKS, MODEL_16, MODEL_24, free_memory, person_boxes

MATMUL_SIDE = 8192


@dataclass(frozen=True)
class Check:
    """One thing that was checked."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Speed:
    """One row of the table."""

    name: str
    batch: int
    clips_per_second: float
    milliseconds: float
    """Median of one step."""
    share_of_matmul: float
    """Of the card's rate, which was measured in the same run."""


@dataclass
class Report:
    """All that was found."""

    device: str
    versions: str
    matmul_tflops: float = 0.0
    checks: list[Check] = field(default_factory=list)
    speeds: list[Speed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run_checks(report: Report) -> None:
    """All checks; one that fails stops no other."""
    for name, check in CHECKS.items():
        try:
            report.checks.append(Check(name, True, check()))
        except Exception as error:
            traceback.print_exc()
            report.checks.append(Check(name, False, f"{type(error).__name__}: {error}".splitlines()[0]))
        print(report.checks[-1], flush=True)
        free_memory()


# ---- speeds


def seconds_of(work: Callable[[], object], budget_seconds: float) -> float:
    """Median seconds of one call, waiting for the device after each."""
    for _ in range(5):  # the first calls choose kernels, compile, and capture
        work()
    torch.cuda.synchronize()
    taken: list[float] = []
    until = time.perf_counter() + budget_seconds
    while len(taken) < 5 or (time.perf_counter() < until and len(taken) < 200):
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def matmul_macs_per_second() -> float:
    """Multiply-accumulates a second of a large bfloat16 matmul."""
    left, right = (torch.randn(MATMUL_SIDE, MATMUL_SIDE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return MATMUL_SIDE**3 / seconds_of(lambda: left @ right, 1.0)


def memvit_step(runner: Runner, batch: int) -> Callable[[], object]:
    """A step of `batch` streams with steady memory, from frames on the host to scores on the host."""
    network = runner.network
    assert isinstance(network, MeMViT) and network.config.memory is not None
    frames = torch.randint(0, 256, (batch, network.config.frames, 224, 224, 3), dtype=torch.uint8)
    pool, names = MemoryPool(network.config.memory, capacity=batch), [str(stream) for stream in range(batch)]

    def step() -> object:
        with torch.inference_mode():
            output, update = runner.step(frames, person_boxes(batch, 224), pool.view(names))
            assert update is not None and output.box_features is not None
            pool.write(names, update)
            return runner.to_host([output.logits.sigmoid(), output.features, output.box_features])

    for _ in range(network.config.memory.steps):
        step()
    return step


def torchvision_step(batch: int) -> Callable[[], object]:
    """torchvision's `mvit_v2_s` as fast as it gets: bfloat16 weights, compiled with captured graphs."""
    from torchvision.models.video import mvit_v2_s

    torch.compiler.reset()  # after 8 batch sizes torch would stop compiling without an error
    network = mvit_v2_s(weights=None).eval().cuda().to(torch.bfloat16)
    compiled: Any = torch.compile(network, mode="reduce-overhead", dynamic=False)
    clips = torch.randn(batch, 3, 16, 224, 224, device="cuda", dtype=torch.bfloat16)

    def step() -> object:
        with torch.inference_mode():
            return compiled(clips).float().cpu()

    return step


def measure(report: Report, name: str, make: Callable[[int], Callable[[], object]], macs: float, batches: list[int],
            seconds: float) -> None:  # fmt: skip
    """Rows of one contender, until the memory of the device is full."""
    for batch in batches:
        try:
            taken = seconds_of(make(batch), seconds)
        except torch.cuda.OutOfMemoryError:
            report.notes.append(f"{name}: batch {batch} does not fit the device's memory")
            break
        except Exception as error:
            report.notes.append(f"{name}, batch {batch}: {type(error).__name__}: {str(error).splitlines()[0][:200]}")
            break
        finally:
            free_memory()
        share = macs * batch / taken / (report.matmul_tflops * 1e12 / 2)
        report.speeds.append(Speed(name, batch, batch / taken, taken * 1e3, share))
        print(report.speeds[-1], flush=True)


def run_speeds(report: Report, batches: list[int], seconds: float) -> None:
    """The table, in one run."""
    report.matmul_tflops = 2 * matmul_macs_per_second() / 1e12
    for name in (MODEL_16, MODEL_24):
        network = create_model(name)
        assert isinstance(network, MeMViT)
        runner = for_device(network, "cuda", "bfloat16", preprocessing=MODELS[name].preprocessing)
        macs = count_clip_macs(network)
        measure(report, name, lambda batch, runner=runner: memvit_step(runner, batch), macs, batches, seconds)  # type: ignore[misc]
    peer_macs = count_clip_macs(create_model("mvitv2_s_16x4.k400"))
    measure(report, "torchvision mvit_v2_s, compiled", torchvision_step, peer_macs, batches, seconds)
    if importlib.util.find_spec("timm") is not None:
        report.notes.append("images beside timm: tools/bench_model.py --family images --device cuda")


# ---- report


def markdown(report: Report) -> str:
    """The report as tables."""
    lines = [f"# {report.device}", "", report.versions, "", "| check | | |", "|---|---|---|"]
    lines += [f"| {check.name} | {'passed' if check.passed else '**failed**'} | {check.detail} |"
              for check in report.checks]  # fmt: skip
    if report.speeds:
        lines += [
            "",
            f"bfloat16; matmul {report.matmul_tflops:.0f} TFLOP/s in the same run. MeMViT from frames on the host to "
            "scores on the host, with memory; torchvision from clips on the device to logits on the host.",
            "",
            "| model | batch | clips/s | ms a step | share of matmul |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {row.name} | {row.batch} | {row.clips_per_second:.1f} | {row.milliseconds:.2f} | "
            f"{100 * row.share_of_matmul:.0f} % |"
            for row in report.speeds
        ]
    return "\n".join([*lines, "", *report.notes, ""])


def main() -> int:
    """Run everything and write the report; 1 if a check failed, 2 without a CUDA device."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("gpu_check"), help="folder of the report")
    parser.add_argument("--batches", default="1,2,4,8,16,32,64,128,256", help="batch sizes of the table")
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each row")
    parser.add_argument("--skip-speed", action="store_true", help="only the checks")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("torch finds no CUDA device on this machine", file=sys.stderr)
        return 2
    torch.backends.cudnn.allow_tf32 = False  # convolutions of float32 are rounded to 10 bits by default
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, CUDA {torch.version.cuda}"
    report = Report(torch.cuda.get_device_name(), versions)
    run_checks(report)
    if not arguments.skip_speed:
        run_speeds(report, [int(batch) for batch in arguments.batches.split(",")], arguments.seconds)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "gpu_check.md").write_text(markdown(report))
    (arguments.out / "gpu_check.json").write_text(json.dumps(asdict(report), indent=2))
    print(markdown(report))
    return 0 if all(check.passed for check in report.checks) else 1


if __name__ == "__main__":
    sys.exit(main())
