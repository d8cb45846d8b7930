"""The checks of `tools/gpu_check.py`: what the runner of CUDA answers, and what training does, on a real device.

Each check returns what it found in a few words, and raises where something is wrong.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from memvit.models import MODELS, Memory, MeMViT, create_model
from memvit.runtime import MemoryPool, Precision, for_device
from memvit.runtime.cuda.runner import CudaRunner

ROOT = Path(__file__).resolve().parents[1]
PEOPLE = 2
"""Boxes of each clip in the table."""
MODEL_16, MODEL_24 = "memvit_16_16x4.ava_k400", "memvit_24_32x3.ava_k600"


def person_boxes(clips: int, side: float, device: torch.device | str = "cpu") -> list[Tensor]:
    """`PEOPLE` boxes for each clip."""
    boxes = torch.tensor([[0, 0, side / 2, side], [side / 3, side / 4, side, side]], device=device)
    return [boxes[:PEOPLE]] * clips


def randomised(network: nn.Module) -> nn.Module:
    """Weights that move every path: fresh ones leave position tables and biases near zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * (0.1 if value.ndim == 1 else 0.02))
    return network


def free_memory() -> None:
    """Give back what earlier work holds. It fails after an error that lasts, which must not cost the report."""
    gc.collect()  # a runner and its graphs refer to each other
    with suppress(RuntimeError):
        torch.cuda.empty_cache()


@torch.inference_mode()
def stream_scores(call: Callable[..., tuple[Tensor, Memory | None]], side: int, frames: int, clips: int) -> Tensor:
    """Scores of one stream, clip by clip, with memory."""
    generator, memory, found = torch.Generator().manual_seed(1), None, []
    for _ in range(clips):
        clip = torch.randn(1, 3, frames, side, side, generator=generator)
        logits, memory = call(clip, person_boxes(1, side), memory)
        found.append(logits.float().cpu().sigmoid())
    return torch.cat(found)


def check_numbers(name: str, side: int, precision: Precision, tolerance: float) -> str:
    """The CUDA runner against the network on the CPU."""
    network = randomised(create_model(name))
    assert isinstance(network, MeMViT)
    runner = for_device(network, "cuda", precision, preprocessing=MODELS[name].preprocessing)
    expected = stream_scores(network, side, network.config.frames, 6)
    found = stream_scores(runner, side, network.config.frames, 6)
    difference = (found - expected).abs().max().item()
    assert difference < tolerance, f"scores differ by {difference:.2e}, at most {tolerance:g} is allowed"
    return f"largest difference of scores {difference:.1e}"


@torch.inference_mode()
def check_streams() -> str:
    """Streams of different age in one batch, steps captured and replayed, against each stream alone."""
    name = "memvit_tiny_8x4"
    network = randomised(create_model(name))
    assert isinstance(network, MeMViT) and network.config.memory is not None
    together, alone = (
        for_device(network, "cuda", "float32", preprocessing=MODELS[name].preprocessing) for _ in range(2)
    )
    pools = MemoryPool(network.config.memory), MemoryPool(network.config.memory)
    generator, largest = torch.Generator().manual_seed(0), 0.0
    for step in range(24):
        names = [stream for index, stream in enumerate("abcde") if step >= 3 * index]
        frames = torch.randint(0, 256, (len(names), 8, 64, 64, 3), dtype=torch.uint8, generator=generator)
        boxes = [torch.rand(index % 3, 4, generator=generator) * 30 + torch.tensor([0.0, 0, 30, 30])
                 for index, _ in enumerate(names)]  # fmt: skip
        output, update = together.step(frames, boxes, pools[0].view(names))
        assert update is not None
        pools[0].write(names, update)
        single = []
        for index, stream in enumerate(names):
            one, kept = alone.step(frames[index : index + 1], boxes[index : index + 1], pools[1].view([stream]))
            assert kept is not None
            pools[1].write([stream], kept)
            single.append(one.logits)
        if len(output.logits):
            largest = max(largest, (output.logits.sigmoid() - torch.cat(single).sigmoid()).abs().max().item())
    assert isinstance(together, CudaRunner) and together.captured_steps, "no step was captured as a CUDA graph"
    assert largest < 1e-3, f"streams in a batch differ from streams alone by {largest:.2e}"
    return f"24 steps of up to 5 streams: largest difference {largest:.1e}"


def check_training() -> str:
    """Steps of DistributedDataParallel over NCCL in one process: losses fall, every parameter has a gradient."""
    # On a port that is free.
    store = torch.distributed.TCPStore("127.0.0.1", 0, 1, is_master=True)  # type: ignore[attr-defined]
    torch.distributed.init_process_group("nccl", store=store, world_size=1, rank=0)
    try:
        network = create_model("memvit_tiny_8x4").train().cuda()
        assert isinstance(network, MeMViT)
        model = nn.parallel.DistributedDataParallel(network, device_ids=[0], find_unused_parameters=True)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        clips = torch.randn(2, 3, 8, 64, 64, device="cuda")
        targets = torch.rand(2 * PEOPLE, network.config.head.num_classes, device="cuda").round()
        losses, memory = [], None
        for _ in range(8):
            with torch.autocast("cuda", dtype=torch.bfloat16):
                logits, memory = model(clips, person_boxes(2, 64, "cuda"), memory)
            memory = memory.detach()
            loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        missing = [key for key, value in network.backbone.named_parameters()
                   if value.grad is None and "compress" not in key and "rel_pos_mem" not in key]  # fmt: skip
        assert not missing, f"{len(missing)} parameters have no gradient, among them {missing[0]}"
        assert losses[-1] < losses[0], f"the loss did not fall: {losses}"
        return f"8 steps, loss {losses[0]:.3f} to {losses[-1]:.3f}"
    finally:
        torch.distributed.destroy_process_group()


def check_tests() -> str:
    """The tests marked `needs_cuda`, where pytest is installed."""
    if importlib.util.find_spec("pytest") is None:
        return "left out: pytest is not installed here"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "needs_cuda", "tests/runtime"]
    exact = os.environ | {"NVIDIA_TF32_OVERRIDE": "0"}
    done = subprocess.run(command, cwd=ROOT, env=exact, capture_output=True, text=True, timeout=540)
    last = (done.stdout.strip().splitlines() or [done.stderr.strip()[-200:]])[-1]
    assert done.returncode in (0, 5), last
    return last


CHECKS: dict[str, Callable[[], str]] = {
    "tiny network, float32": lambda: check_numbers("memvit_tiny_8x4", 64, "float32", 1e-3),
    "tiny network, bfloat16": lambda: check_numbers("memvit_tiny_8x4", 64, "bfloat16", 0.08),
    "MeMViT-16, float32": lambda: check_numbers(MODEL_16, 224, "float32", 2e-3),
    "MeMViT-16, bfloat16": lambda: check_numbers(MODEL_16, 224, "bfloat16", 0.1),
    "streams of different age, captured": check_streams,
    "training through NCCL": check_training,
    "tests marked needs_cuda": check_tests,
}
