"""What memory costs in training: seconds a step and peak memory, against no memory and against clips twice as long.

"Naive" writes logits and the bias of positions down as (queries × keys), as the published implementations do.

Each row runs in a process of its own, so that peaks are its own. Needs torch and torchvision only.

    python tools/bench_training.py                  # MeMViT-16, all its blocks
    python tools/bench_training.py --depth 6        # its first blocks only, for a small machine
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout on a bare machine

from memvit.models import MeMViT, attention, model_entry
from memvit.models.attention import PositionBias


@dataclass(frozen=True)
class Row:
    """One way to train."""

    memory: bool = True
    double: bool = False
    """Clips twice as long."""
    checkpoint: bool = False
    naive: bool = False


ROWS = {
    "memory": Row(),
    "memory, activation checkpointing": Row(checkpoint=True),
    "memory, naive attention": Row(naive=True),
    "memory, naive attention, activation checkpointing": Row(naive=True, checkpoint=True),
    "no memory": Row(memory=False),
    "no memory, clips twice as long": Row(memory=False, double=True),
}


def naive_attention(q: Tensor, k: Tensor, v: Tensor, bias: PositionBias, scale: float) -> Tensor:
    """`attention` with everything of the size (queries × keys) written down."""
    cls = q.shape[2] - bias.num_queries
    logits = (q * scale) @ k.transpose(2, 3)
    of_positions = torch.cat(bias.products, dim=3) @ bias.one_hot.t() * scale
    logits = logits + F.pad(of_positions, (0, 0, cls, 0))
    if bias.key_mask is not None:
        logits = logits + bias.key_mask[:, None, None]
    attended = (logits.softmax(3) @ v).transpose(1, 2).flatten(2)
    attended[:, cls:] += q[:, :, cls:].transpose(1, 2).flatten(2)
    return attended


def build(depth: int, row: Row) -> MeMViT:
    """MeMViT-16 or its first blocks, on AVA's task."""
    config = model_entry("memvit_16_16x4.ava_k400").config
    starts = tuple(start for start in config.stage_starts if start < depth)
    plan = config.memory
    assert plan is not None
    plan = replace(plan, layers=tuple(layer for layer in plan.layers if layer < depth))
    config = replace(
        config,
        depth=depth,
        stage_starts=starts,
        memory=plan if row.memory else None,
        frames=config.frames * (2 if row.double else 1),
    )
    model = MeMViT(config)
    model.backbone.checkpoint_blocks = row.checkpoint
    return model.train()


def run_row(name: str, depth: int, steps: int, device: torch.device) -> dict[str, float]:
    """Train for some steps with a steady memory; medians."""
    torch.manual_seed(0)
    if ROWS[name].naive:
        vars(attention)["attention"] = naive_attention
    model = build(depth, ROWS[name]).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    config, memory, times = model.config, None, []
    clips = torch.randn(1, 3, config.frames, config.crop, config.crop, device=device)
    boxes = [torch.tensor([[0.0, 0, 112, 224], [80, 0, 224, 224]], device=device)]
    warm_up = (config.memory.steps if config.memory else 1) + 1
    with torch.no_grad():  # fills the memory
        for _ in range(warm_up - 1):
            _, memory = model(clips, boxes, memory)
    for step in range(steps + 1):
        began = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        logits, memory = model(clips, boxes, memory)
        memory = memory.detach() if memory is not None else None
        logits.square().mean().backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if step:
            times.append(time.perf_counter() - began)
    on_gpu = device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": statistics.median(times), "peak_gigabytes": peak / 1e9}


def main() -> None:
    """Run every row in a process of its own and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=16, help="blocks of the model, from the first on")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--row", choices=tuple(ROWS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        print(json.dumps(run_row(options.row, options.depth, options.steps, torch.device(options.device))))
        return
    arguments = ["--depth", str(options.depth), "--steps", str(options.steps), "--device", options.device]
    found = {}
    for name in ROWS:
        command = [sys.executable, __file__, *arguments, "--row", name]
        found[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    base = found["memory"]
    print("| training step of one clip | s | × | peak GB | × |\n|---|---|---|---|---|")
    for name, row in found.items():
        seconds, peak = row["seconds"], row["peak_gigabytes"]
        times, more = seconds / base["seconds"], peak / base["peak_gigabytes"]
        print(f"| {name} | {seconds:.2f} | {times:.2f} | {peak:.2f} | {more:.2f} |")


if __name__ == "__main__":
    main()
