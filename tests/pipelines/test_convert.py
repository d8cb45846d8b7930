"""`memvit convert`: to another layout and back, bit by bit, and never half a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from pipelines.cli.app import app
from tests.conftest import official_file, official_state


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["convert", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize(
    ("model", "stem", "layout", "some_key"),
    [
        ("mvitv2_t.in1k", "mvitv2_t_in1k", "timm", "stages.1.blocks.0.shortcut_proj_attn.weight"),
        ("mvitv2_s_16x4.k400", "mvitv2_s_16x4_k400", "torchvision", "blocks.1.attn.pool_q.norm_act.0.weight"),
        ("memvit_16_16x4.ava_k400", "memvit_16_ava", "memvit", "head.box_blocks.0.attn.q.weight"),
    ],
)
def test_conversion_to_a_layout_and_back_is_bit_exact(
    model: str, stem: str, layout: str, some_key: str, tmp_path: Path
) -> None:
    official, start = official_state(stem), official_file(stem)
    middle, end = tmp_path / "b.safetensors", tmp_path / "c.pyth"
    code, output = run(start, middle, "--model", model, "--to", layout)
    assert code == 0, output
    assert some_key in load_file(middle)
    code, output = run(middle, end, "--model", model, "--to", "official")
    assert code == 0, output
    back = torch.load(end, weights_only=True)["model_state"]
    assert back.keys() == official.keys()
    assert all(torch.equal(back[name], value) for name, value in official.items())
    assert {path.name for path in tmp_path.iterdir()} == {"b.safetensors", "c.pyth"}


def test_impossible_conversion_exits_with_one_sentence(tmp_path: Path) -> None:
    start = tmp_path / "a.pyth"
    start.symlink_to(official_file("mvitv2_t_in1k"))
    for arguments, sentence in (
        (["b.pth", "--model", "mvitv2_t.in1k", "--to", "caffe"], "use one of official, timm, torchvision, memvit"),
        (["b.pth", "--model", "mvitv2_t.in1k", "--to", "torchvision"], "the torchvision layout is for videos only"),
        (["b.pth", "--model", "mvitv2_s.in1k"], "the file is of a model with 10 blocks, this model has 16"),
        (["a.pyth", "--model", "mvitv2_t.in1k"], "source and target are the same file"),
    ):
        code, output = run(start, tmp_path / arguments[0], *arguments[1:])
        assert code == 1 and sentence in output, output
    assert [path.name for path in tmp_path.iterdir()] == ["a.pyth"]
