"""The official implementations' numbers, reproduced from checkpoints in the official layouts.

Networks are run as the engine runs them, by the runner of a CPU; one of each family is also run by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from memvit.models import MODELS, MeMViT, create_model
from memvit.runtime import MemoryPool, Precision, Runner, for_device
from tests.conftest import GOLDEN, official_file
from tests.golden import fill

MEMVIT_16, MEMVIT_24 = "memvit_16_16x4.ava_k400", "memvit_24_32x3.ava_k600"


def cpu_runner(name: str, network: torch.nn.Module, precision: Precision = "float32") -> Runner:
    return for_device(network, "cpu", precision, preprocessing=MODELS[name].preprocessing)


def golden_inputs(
    stored: Mapping[str, NDArray[Any]], prefix: str, key: str, frames: int, size: tuple[int, int]
) -> tuple[Tensor, list[Tensor]]:
    """A clip (1, 3, T, H, W) and the boxes of its people."""
    return fill.clip(f"{prefix}/{key}", (1, 3, frames, *size)), [torch.from_numpy(stored[f"{key}/boxes"])]


def memvit_scores(runner: Runner, golden: str, prefix: str, size: tuple[int, int]) -> dict[str, float]:
    """The largest difference from the golden scores, clip by clip."""
    stored = np.load(GOLDEN / f"{golden}.npz")
    differences = {}
    memory, last_video = None, None
    for key in [name.removesuffix("/boxes") for name in stored if name.endswith("boxes")]:
        video = key.split("/")[0]
        memory = memory if video == last_video else None
        last_video = video
        clip, boxes = golden_inputs(stored, prefix, key, runner.network.config.frames, size)
        logits, memory = runner(clip, boxes, memory)
        differences[key] = float(np.abs(logits.sigmoid().numpy() - stored[f"{key}/scores"]).max())
    return differences


@torch.inference_mode()
def scores_of_one_read(
    network: MeMViT | Runner, config: Any, golden: str, prefix: str, size: tuple[int, int] = (224, 224)
) -> dict[str, float]:
    """The largest difference from the golden scores of the first clip and of the first one that reads its memory.

    The clips between them are not read by the second, so their steps are only filled in.
    """
    stored = np.load(GOLDEN / f"{golden}.npz")
    pool, first_read = MemoryPool(config.memory), min(config.memory.reads)
    differences = {}
    for key in ("a/0", f"a/{first_read}"):
        clip, boxes = golden_inputs(stored, prefix, key, config.frames, size)
        output, update = network.step(clip, boxes, pool.view(["a"]))
        assert update is not None
        for _ in range(first_read):
            pool.write(["a"], update)
        differences[key] = float(np.abs(output.logits.sigmoid().numpy() - stored[f"{key}/scores"]).max())
    return differences


@pytest.mark.parametrize(
    ("golden", "prefix", "size", "clips"),
    [
        pytest.param("memvit_16_ava", "memvit_16", (224, 224), 10, marks=pytest.mark.slow),
        pytest.param("memvit_16_ava_wide", "memvit_16_wide", (224, 320), 4, marks=pytest.mark.slow),
    ],
)
def test_memvit_16(memvit_16: MeMViT, golden: str, prefix: str, size: tuple[int, int], clips: int) -> None:
    """Square and wide frames, a video boundary, one to five boxes a clip."""
    differences = memvit_scores(cpu_runner(MEMVIT_16, memvit_16), golden, prefix, size)
    assert len(differences) == clips
    assert max(differences.values()) < 1e-5, differences


def test_a_read_of_memvit_16_on_wide_frames(memvit_16: MeMViT) -> None:
    runner = cpu_runner(MEMVIT_16, memvit_16)
    differences = scores_of_one_read(runner, memvit_16.config, "memvit_16_ava_wide", "memvit_16_wide", (224, 320))
    assert list(differences) == ["a/0", "a/2"]
    assert max(differences.values()) < 1e-5, differences


def test_the_network_of_memvit_16_by_itself(memvit_16: MeMViT) -> None:
    differences = scores_of_one_read(memvit_16, memvit_16.config, "memvit_16_ava", "memvit_16")
    assert list(differences) == ["a/0", "a/2"]
    assert max(differences.values()) < 1e-5, differences


def test_memory_matters_in_the_golden_files(memvit_16: MeMViT) -> None:
    """Without memory the scores are far off, so the agreement above is of the memory path."""
    stored = np.load(GOLDEN / "memvit_16_ava.npz")
    clip, boxes = golden_inputs(stored, "memvit_16", "a/6", 16, (224, 224))
    logits, memory = cpu_runner(MEMVIT_16, memvit_16)(clip, boxes, remember=False)
    assert memory is None
    assert np.abs(logits.sigmoid().numpy() - stored["a/6/scores"]).max() > 0.1


@pytest.mark.slow
def test_memvit_24() -> None:
    network = create_model(MEMVIT_24, checkpoint=official_file("memvit_24_ava"))
    assert isinstance(network, MeMViT)
    differences = scores_of_one_read(cpu_runner(MEMVIT_24, network), network.config, "memvit_24_ava", "memvit_24")
    assert list(differences) == ["a/0", "a/3"]
    assert max(differences.values()) < 1e-5, differences


@pytest.mark.parametrize(
    ("name", "stem", "by_itself"),
    [
        ("mvitv2_s_16x4.k400", "mvitv2_s_16x4_k400", True),
        pytest.param("mvitv2_s_16x4.ssv2", "mvitv2_s_16x4_ssv2", False, marks=pytest.mark.slow),
        pytest.param("mvitv2_b_32x3.k400", "mvitv2_b_32x3_k400", False, marks=pytest.mark.slow),
        ("mvitv2_t.in1k", "mvitv2_t_in1k", True),
        ("mvitv2_s.in1k", "mvitv2_s_in1k", False),
        pytest.param("mvitv2_l.in1k", "mvitv2_l_in1k", False, marks=pytest.mark.slow),
    ],
)
def test_classifier(name: str, stem: str, by_itself: bool) -> None:
    network = create_model(name, checkpoint=official_file(stem))
    frames = network.config.frames
    clip = fill.clip(stem, (1, 3, frames, 224, 224) if frames > 1 else (1, 3, 224, 224))
    expected = np.log(np.load(GOLDEN / f"{stem}.npz")["scores"])
    logits = [cpu_runner(name, network)(clip)[0]]
    if by_itself:
        with torch.inference_mode():
            logits.append(network(clip))
    for found in logits:
        assert np.abs(found.log_softmax(-1).numpy() - expected).max() < 1e-4
