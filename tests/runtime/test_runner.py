"""A model ready to run: the numbers of the network, the speed of the engine."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
import torch
from torch import nn

import memvit
from memvit.engine.engine import Engine
from memvit.models import MODELS, create_model
from memvit.runtime import for_device
from memvit.runtime.cpu.onednn import PackedLinear, can_pack
from memvit.runtime.cpu.runner import CpuRunner
from memvit.types import MemvitError

OWN = resources.files("memvit") / "data/models/memvit_tiny_long_cue.safetensors"
PREPROCESSING = MODELS["memvit_tiny_8x4"].preprocessing
BOXES = [torch.tensor([[4.0, 4, 60, 50], [10, 20, 40, 64]])]


def clips(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, 3, 8, 64, 64, generator=generator) for _ in range(count)]


def test_it_is_called_like_the_network_and_gives_its_numbers(tiny: nn.Module) -> None:
    runner = for_device(tiny, preprocessing=PREPROCESSING)  # type: ignore[arg-type]
    memory = expected_memory = None
    for clip in clips(4):
        logits, memory = runner(clip, BOXES, memory)
        with torch.inference_mode():
            expected, expected_memory = tiny(clip, BOXES, expected_memory)
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
        assert not logits.requires_grad
    assert memory is not None and memory.ages.tolist() == [4]
    assert runner(clips(1)[0], BOXES, remember=False)[1] is None


@pytest.mark.skipif(not can_pack(), reason="this build of torch has no packed linear layers")
def test_it_runs_packed_weights_and_the_engine_runs_it(tiny: nn.Module) -> None:
    """The packed twin takes two thirds of the network's time."""
    engine = Engine(tiny, PREPROCESSING)  # type: ignore[arg-type]
    assert engine.runner.network is engine.model is tiny
    for runner in (engine.runner, for_device(tiny, preprocessing=PREPROCESSING)):  # type: ignore[arg-type]
        assert isinstance(runner, CpuRunner)
        assert any(isinstance(module, PackedLinear) for module in runner._twin.modules())


def test_a_classifier_of_single_clips_has_no_memory() -> None:
    network = create_model("mvitv2_tiny_8x4")
    runner = for_device(network, preprocessing=MODELS["mvitv2_tiny_8x4"].preprocessing)  # type: ignore[arg-type]
    logits, memory = runner(clips(1)[0])
    torch.testing.assert_close(logits, network(clips(1)[0]), atol=1e-5, rtol=1e-4)
    assert memory is None and not runner.wants_boxes
    with pytest.raises(ValueError, match="neither boxes nor a memory"):
        runner(clips(1)[0], BOXES)
    output, update = runner.step(clips(1)[0])
    assert update is None and torch.equal(output.logits, logits)
    assert output.features.shape == (1, network.config.out_dim)
    _, of_another = create_model("memvit_tiny_8x4")(clips(1)[0], BOXES)
    with pytest.raises(ValueError, match="has no memory: pass memory=None"):
        runner(clips(1)[0], None, of_another)


def test_load_needs_nothing_but_a_file_that_describes_itself() -> None:
    with resources.as_file(OWN) as path:
        runner, same = memvit.load(path, device="cpu"), memvit.load(str(path), device="cpu")
    assert runner.labels is not None and runner.labels.names[0] == same.labels.names[0]
    assert runner.preprocessing.num_frames == runner.network.config.frames
    frames = torch.zeros(1, 3, runner.preprocessing.num_frames, 64, 64)
    assert torch.equal(runner(frames, BOXES)[0], same(frames, BOXES)[0])


def test_load_by_name(tiny_file: Path, tiny: nn.Module) -> None:
    runner = memvit.load("memvit_tiny_8x4", checkpoint=tiny_file, device="cpu", precision="float32")
    torch.testing.assert_close(runner(clips(1)[0], BOXES)[0], tiny(clips(1)[0], BOXES)[0], atol=1e-5, rtol=1e-4)
    assert runner.labels is not None and len(runner.labels) == 80


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nosuch.safetensors", {}, "there is no such file"),
        ("{tiny}", {}, "does not describe itself; pass its model"),
        ("{tiny}", {"checkpoint": "other.pth"}, "not both"),
        ("memvit_tiny_8x", {}, "did you mean memvit_tiny_8x4"),
        ("memvit_tiny_8x4", {}, "no published weights"),
        ("memvit_tiny_8x4", {"precision": "float8"}, "use one of"),
        ("memvit_tiny_8x4", {"device": "gpu"}, "no such device"),
    ],
)
def test_load_refuses_with_one_sentence(name: str, options: dict[str, str], message: str, tiny_file: Path) -> None:
    with pytest.raises((MemvitError, ValueError), match=message):
        memvit.load(name.format(tiny=tiny_file), **options)
