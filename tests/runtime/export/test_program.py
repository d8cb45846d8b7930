"""An exported step is the model, over many clips of memory, without the model's code."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest
import torch

from memvit.models import MeMViT, MViTConfig, create_model
from memvit.models.box_rows import memory_numbers
from memvit.runtime.export.program import export_step
from memvit.runtime.memory_pool import MemoryPool
from memvit.runtime.pools import memory_pool
from tests.conftest import filled
from tests.forks import run_script

SCRIPT = """
import sys, torch, torchvision
program = torch.export.load(sys.argv[1]).module()
arguments = torch.load(sys.argv[2], weights_only=True)
torch.save(program(*arguments)[0], sys.argv[3])
assert "memvit" not in sys.modules
"""


@pytest.fixture(scope="module")
def small() -> MeMViT:
    """Two blocks, one with memory: all there is to translate, in a third of the time."""
    config = create_model("memvit_tiny_8x4").config
    assert isinstance(config, MViTConfig) and config.memory is not None
    plan = replace(config.memory, layers=(1,))
    model = filled(MeMViT(replace(config, depth=2, stage_starts=(1,), memory=plan)))
    assert isinstance(model, MeMViT)
    return model


@torch.inference_mode()
def test_an_exported_step_carries_memory_as_the_model_does(small: MeMViT, tmp_path: Path) -> None:
    assert small.config.memory is not None
    step = export_step(small, tmp_path / "step.pt2", height=64, width=96, people=2)
    program = torch.export.load(str(tmp_path / "step.pt2")).module()
    boxes = torch.tensor([[4.0, 4, 60, 50], [10, 20, 40, 64]])
    pool, memory = MemoryPool(small.config.memory), None
    blank = step.example(2)
    for index in range(7):
        clip = torch.randn(1, 3, 8, 64, 96, generator=torch.Generator().manual_seed(index))
        expected, memory = small(clip, [boxes], memory)
        view = pool.view(["a"])
        valid_mask = view.valid_mask if view else blank[2]
        past = blank[3] if view is None else [
            *[part for layer in view.layers for part in (layer.keys, layer.values)], *view.boxes
        ]  # fmt: skip
        outputs = program(clip, boxes, valid_mask, past)
        output, update = step.outputs(outputs)
        pool.write(["a"], update)
        assert outputs[0] is output.logits
        torch.testing.assert_close(output.logits, expected, atol=1e-4, rtol=1e-4)
    torch.save((clip, boxes, valid_mask, past), tmp_path / "arguments.pt")
    words = [tmp_path / "step.pt2", tmp_path / "arguments.pt", tmp_path / "logits.pt"]
    run_script(SCRIPT, *words)
    torch.testing.assert_close(torch.load(tmp_path / "logits.pt", weights_only=True), expected, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_an_exported_step_with_slots_carries_memory_as_the_model_does(small: MeMViT, tmp_path: Path) -> None:
    """Slots are merged outside of the program, by the scores that it returns."""
    assert small.config.memory is not None
    plan = replace(small.config.memory, kind="slots", reads=(), slots=4)
    model = filled(MeMViT(replace(small.config, memory=plan)))
    assert isinstance(model, MeMViT)
    step = export_step(model, tmp_path / "step.pt2", height=64, width=96, people=2)
    program = torch.export.load(str(tmp_path / "step.pt2")).module()
    boxes, numbers = torch.tensor([[4.0, 4, 60, 50], [10, 20, 40, 64]]), [[3, -1]]
    pool, memory = memory_pool(plan), None
    for index in range(9):
        clip = torch.randn(1, 3, 8, 64, 96, generator=torch.Generator().manual_seed(index))
        expected, memory = model(clip, [boxes], memory, persons=numbers)
        valid_mask, past = step.past(pool.view(["a"]))
        output, update = step.outputs(program(clip, boxes, valid_mask, past))
        pool.write(["a"], update, [memory_numbers(2, numbers[0])])
        torch.testing.assert_close(output.logits, expected, atol=1e-4, rtol=1e-4)
    alone, _ = model(clip, [boxes], None, persons=numbers)
    assert (alone - expected).abs().max() > 1e-3


@torch.inference_mode()
def test_onnx_runtime_gives_the_same_numbers(small: MeMViT, tmp_path: Path) -> None:
    step = export_step(small, tmp_path / "step.onnx", height=64, width=96, people=2)
    generator = torch.Generator().manual_seed(0)
    clip, boxes = torch.randn(1, 3, 8, 64, 96, generator=generator), torch.tensor([[4.0, 4, 60, 50], [10, 20, 40, 64]])
    past = [torch.randn(part.shape, generator=generator) for part in step.example(2)[3]]
    session = onnxruntime.InferenceSession(tmp_path / "step.onnx", providers=["CPUExecutionProvider"])
    for valid in ([[False, True]], [[True, True]], [[False, False]]):
        arguments = [clip, boxes, torch.tensor(valid), *past]
        named = {known.name: value.numpy() for known, value in zip(session.get_inputs(), arguments, strict=True)}
        found = session.run(None, named)
        expected = step(clip, boxes, torch.tensor(valid), past)
        for ours, theirs in zip(expected, found, strict=True):
            torch.testing.assert_close(torch.from_numpy(theirs), ours, atol=1e-4, rtol=1e-4)


def test_a_model_without_memory_needs_no_step() -> None:
    model = create_model("mvitv2_t.in1k")
    with pytest.raises(ValueError, match="this model has no memory"):
        export_step(model, "unused.pt2", height=64, width=64)  # type: ignore[arg-type]


def test_onnx_without_its_extra_says_what_to_install(
    small: MeMViT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"pip install 'memvit\[onnx\]'"):
        export_step(small, tmp_path / "step.onnx", height=64, width=64)
    assert not list(tmp_path.iterdir())
