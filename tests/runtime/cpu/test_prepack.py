"""Packed models: the same numbers, faster; 8-bit products: nearly the same numbers."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from memvit.engine.engine import Engine
from memvit.engine.settings import PRECISIONS
from memvit.evaluation.long_cue import long_cue_map, write_held_out
from memvit.labels import Labels
from memvit.models import MODELS, MeMViT, create_model, load_safetensors
from memvit.runtime.cpu.onednn import can_pack
from memvit.runtime.cpu.prepack import prepack
from pipelines.demo import CHECKPOINT
from tests.conftest import filled
from tests.models.test_golden import MEMVIT_16, cpu_runner, memvit_scores

pytestmark = pytest.mark.skipif(not can_pack(), reason="this build of torch has no packed linear layers")
BOXES = [torch.tensor([[4.0, 4, 60, 50], [10, 20, 40, 64]])]


def run(model: nn.Module, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    memory, found = None, []
    with torch.inference_mode():
        for _ in range(6):
            clip = torch.randn(1, 3, 8, 64, 64, generator=generator).to(dtype)
            logits, memory = model(clip, BOXES, memory)
            found.append(logits.float().sigmoid())
    return torch.cat(found)


def test_packing_changes_nothing_but_rounding(tiny: nn.Module) -> None:
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    twin = prepack(tiny)
    torch.testing.assert_close(run(twin), run(tiny), atol=1e-5, rtol=0)
    assert all(torch.equal(value, before[name]) for name, value in tiny.state_dict().items())
    assert not any(isinstance(module, nn.Linear) for module in twin.backbone.modules())
    shared = {value.data_ptr() for value in tiny.parameters()}
    assert sum(value.data_ptr() in shared for value in twin.parameters()) > 50, "what is not packed is not copied"


@pytest.mark.parametrize("name", ["mvitv2_t.in1k", "memvit_tiny_8x4"])
def test_every_kind_of_model_can_be_packed(name: str) -> None:
    """One projects queries, keys and values together, the other apart."""
    model = filled(create_model(name))
    shape = (2, 3, 8, 64, 64) if isinstance(model, MeMViT) else (2, 3, 96, 96)
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model(x, BOXES * 2)[0] if isinstance(model, MeMViT) else model(x)
        twin = prepack(model)
        found = twin(x, BOXES * 2)[0] if isinstance(model, MeMViT) else twin(x)
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(("int8", "dtype", "mean", "most"), [
    (False, torch.bfloat16, 0.01, 0.06), (True, torch.float32, 0.01, 0.06),
])  # fmt: skip
def test_lower_precisions_are_near(tiny: nn.Module, int8: bool, dtype: torch.dtype, mean: float, most: float) -> None:
    if not can_pack(dtype, int8=int8):
        pytest.skip("this processor has no such products")
    differences = (run(prepack(tiny, dtype=dtype, int8=int8), dtype) - run(tiny)).abs()
    assert 0 < differences.mean() < mean and differences.max() < most


@pytest.mark.slow
@pytest.mark.skipif(not can_pack(int8=True), reason="no 8-bit products")
def test_golden_scores_in_8_bits(memvit_16: MeMViT) -> None:
    """These weights are made to move every path as far as they can; trained ones are more forgiving."""
    runner = cpu_runner(MEMVIT_16, memvit_16, "int8")
    differences = memvit_scores(runner, "memvit_16_ava_wide", "memvit_16_wide", (224, 320))
    assert np.mean(list(differences.values())) < 0.04 and max(differences.values()) < 0.06, differences


@pytest.mark.slow
def test_what_was_shown_is_remembered_in_every_precision(tmp_path: Path) -> None:
    """The trained demo model on LongCue: mAP within 0.01 of float32's."""
    write_held_out(tmp_path, videos=2)
    scores = {}
    for precision in PRECISIONS:
        with resources.as_file(resources.files("memvit") / CHECKPOINT) as checkpoint:
            model, description = load_safetensors(checkpoint)
        labels = Labels(description.classes, description.first_id)
        engine = Engine(model, description.preprocessing, precision=precision)
        scores[precision] = long_cue_map(engine, labels, tmp_path)
    assert scores["float32"] > 0.5
    assert max(scores.values()) - min(scores.values()) < 0.01, scores


def test_a_device_without_a_precision_says_so() -> None:
    model = filled(create_model("memvit_tiny_8x4"))
    with pytest.raises(ValueError, match="8-bit products are for CPUs"):
        Engine(model, MODELS["memvit_tiny_8x4"].preprocessing, device="meta", precision="int8")
