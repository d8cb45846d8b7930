"""The official implementations' numbers, reproduced from checkpoints in the official layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from memvit.models import create_model
from memvit.runtime.cpu.onednn import can_pack
from memvit.runtime.cpu.prepack import prepack
from tests.conftest import GOLDEN, official_state
from tests.golden import fill


def memvit_scores(model: torch.nn.Module, golden: str, prefix: str, size: tuple[int, int]) -> dict[str, float]:
    """The largest difference from the golden scores, clip by clip."""
    stored = np.load(GOLDEN / f"{golden}.npz")
    differences = {}
    memory, last_video = None, None
    for key in [name.removesuffix("/boxes") for name in stored if name.endswith("boxes")]:
        video = key.split("/")[0]
        memory = memory if video == last_video else None
        last_video = video
        clip = fill.clip(f"{prefix}/{key}", (1, 3, model.config.frames, *size))
        with torch.inference_mode():
            logits, memory = model(clip, [torch.from_numpy(stored[f"{key}/boxes"])], memory)
        differences[key] = float(np.abs(logits.sigmoid().numpy() - stored[f"{key}/scores"]).max())
    return differences


@pytest.mark.parametrize(
    ("golden", "prefix", "size", "clips"),
    [("memvit_16_ava", "memvit_16", (224, 224), 10), ("memvit_16_ava_wide", "memvit_16_wide", (224, 320), 4)],
)
def test_memvit_16(memvit_16_file: Path, golden: str, prefix: str, size: tuple[int, int], clips: int) -> None:
    """Square and wide frames, a video boundary, one to five boxes a clip."""
    model = create_model("memvit_16_16x4.ava_k400", checkpoint=memvit_16_file)
    differences = memvit_scores(model, golden, prefix, size)
    assert len(differences) == clips
    assert max(differences.values()) < 1e-5, differences


def test_memory_matters_in_the_golden_files(memvit_16_file: Path) -> None:
    """Without memory the scores are far off, so the agreement above is of the memory path."""
    model = create_model("memvit_16_16x4.ava_k400", checkpoint=memvit_16_file)
    stored = np.load(GOLDEN / "memvit_16_ava.npz")
    with torch.inference_mode():
        logits, memory = model(
            fill.clip("memvit_16/a/6", (1, 3, 16, 224, 224)),
            [torch.from_numpy(stored["a/6/boxes"])],
            remember=False,
        )
    assert memory is None
    assert np.abs(logits.sigmoid().numpy() - stored["a/6/scores"]).max() > 0.1


def test_memvit_24(tmp_path: Path) -> None:
    path = tmp_path / "MeMViT_24L_32x3_K600pt.pyth"
    torch.save({"model_state": official_state("memvit_24_ava")}, path)
    model = create_model("memvit_24_32x3.ava_k600", checkpoint=path)
    if can_pack():  # as the engine runs it, in half the time
        model = prepack(model)
    differences = memvit_scores(model, "memvit_24_ava", "memvit_24", (224, 224))
    assert len(differences) == 5
    assert max(differences.values()) < 1e-5, differences


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("mvitv2_s_16x4.k400", "mvitv2_s_16x4_k400"),
        ("mvitv2_s_16x4.ssv2", "mvitv2_s_16x4_ssv2"),
        ("mvitv2_b_32x3.k400", "mvitv2_b_32x3_k400"),
        ("mvitv2_t.in1k", "mvitv2_t_in1k"),
        ("mvitv2_s.in1k", "mvitv2_s_in1k"),
        ("mvitv2_l.in1k", "mvitv2_l_in1k"),
    ],
)
def test_classifier(name: str, stem: str, tmp_path: Path) -> None:
    path = tmp_path / f"{stem}.pyth"
    torch.save({"model_state": official_state(stem)}, path)
    model = create_model(name, checkpoint=path)
    frames = model.config.frames
    clip = fill.clip(stem, (1, 3, frames, 224, 224) if frames > 1 else (1, 3, 224, 224))
    with torch.inference_mode():
        scores = model(clip).softmax(-1).numpy()
    assert np.abs(np.log(scores) - np.log(np.load(GOLDEN / f"{stem}.npz")["scores"])).max() < 1e-4
