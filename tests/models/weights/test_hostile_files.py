"""Self-describing checkpoints from elsewhere: what does not hold together is refused in one sentence."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from memvit.models import (
    CheckpointError,
    CheckpointMetadata,
    create_model,
    load_safetensors,
    model_entry,
    read_metadata,
    save_safetensors,
)
from memvit.models.weights.limits import MAX_HEADER_BYTES

NAME = "memvit_tiny_8x4"
Header = dict[str, Any]
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Header, State]:
    """A good file, as its description and its tensors."""
    path = tmp_path_factory.mktemp("own") / "model.safetensors"
    model = create_model(NAME, num_classes=3)
    save_safetensors(
        path, model, CheckpointMetadata(NAME, model.config, model_entry(NAME).preprocessing, ("a", "b", "c"), 1, {})
    )
    return read(path)


def read(path: Path) -> tuple[Header, State]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["memvit"]), load_file(path)


def write(path: Path, header: Header | str, state: State) -> Path:
    text = header if isinstance(header, str) else json.dumps(header)
    save_file(state, path, metadata={"memvit": text})
    return path


def at(header: Header, place: str, value: object) -> Header:
    """A copy with another value at a dotted place."""
    copied: Header = json.loads(json.dumps(header))
    *parts, last = place.split(".")
    owner = copied
    for part in parts:
        owner = owner[part]
    owner[last] = value
    return copied


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        ("config", None, "its description.config should be an object, it is null"),
        ("config.depth", None, "config.depth should be a whole number, it is null"),
        ("config.depth", True, "config.depth should be a whole number, it is True"),
        ("config.depth", "4", "config.depth should be a whole number, it is '4'"),
        ("config.depth", 10**9, r"config.depth is 1,000,000,000, allowed is 1 to 128"),
        ("config.depth", 10**400, "config.depth is a number above"),
        ("config.embed_dim", -48, "config.embed_dim is -48, allowed is 1 to 1,024"),
        ("config.heads", 7, "embed_dim 48 should be a multiple of the 7 heads"),
        ("config.frames", 0, "config.frames is 0, allowed is 1 to 256"),
        ("config.patch_stride", [16, 4, 4], "leave no token"),
        ("config.patch_stride", [1, 1, 1], "parameters of another shape"),
        ("config.patch_stride", [2, 4], "config.patch_stride should be a list of 3, it is a list of 2"),
        ("config.stage_starts", [3, 2], "stage_starts .* should be ascending"),
        ("config.stage_starts", [[]], "should be a whole number, it is a list of 0"),
        ("config.drop_path", float("nan"), "config.drop_path should be a finite number"),
        ("config.head.box_dropout", 1.5, "config.head.box_dropout is 1.5, allowed is 0 to 0.99"),
        ("config.non_square", "both", "should be one of independent, clamped"),
        ("config.memory.reads", [10**7], "config.memory.reads is 10,000,000, allowed is 1 to 256"),
        ("config.memory.layers", [9], "memory layers .* are not all among the 4 blocks"),
        ("config.head.num_classes", 10**9, "config.head.num_classes is 1,000,000,000, allowed is 1 to 100,000"),
        ("config.head.num_classes", 4, "it names 3 classes and its config has 4"),
        ("config.extra", 1, "its description.config has an unknown key 'extra'"),
        ("classes", ["a", "b", 3], r"classes should be a text, it is 3"),
        ("classes", ["a", "b", "\x1b[2J"], "cannot be printed"),
        ("first_id", 2**70, "first_id should be 0 to 1,000,000"),
        ("preprocessing.short_side", 10**6, "preprocessing.short_side is 1,000,000, allowed is 16 to 2,048"),
        ("preprocessing.num_frames", 16, "num_frames is 16 and config.frames is 8"),
        ("preprocessing.std", [0, 1, 1], "preprocessing.std is 0"),
        ("format", 2, "written by a newer version"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(
    place: str, value: object, sentence: str, whole: tuple[Header, State], tmp_path: Path
) -> None:
    path = write(tmp_path / "x.safetensors", at(whole[0], place, value), whole[1])
    with pytest.raises(CheckpointError, match=sentence) as caught:
        load_safetensors(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["null", "[]", "7", "{", "[" * 100_000, '{"source": ' * 900 + "{}" + "}" * 900, '{"format": 1}']
)
def test_a_header_that_is_no_description_is_refused(text: str, whole: tuple[Header, State], tmp_path: Path) -> None:
    path = write(tmp_path / "x.safetensors", text, whole[1])
    with pytest.raises(CheckpointError, match="not a complete memvit checkpoint"):
        read_metadata(path)


def changed(state: State, name: str, change: Callable[[torch.Tensor], torch.Tensor | None]) -> State:
    value = change(state[name])
    return {**{key: kept for key, kept in state.items() if key != name}, **({} if value is None else {name: value})}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda tensor: None, r"1 parameters are missing \(head.projection.bias\)"),
        (lambda tensor: tensor[:2], r"head.projection.bias is \(2,\), expected \(3,\)"),
        (lambda tensor: tensor.long(), "head.projection.bias is of type I64, weights are floating-point"),
    ],
)
def test_tensors_are_compared_with_the_config_before_they_are_read(
    change: Callable[[torch.Tensor], torch.Tensor | None],
    sentence: str,
    whole: tuple[Header, State],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write(tmp_path / "x.safetensors", whole[0], changed(whole[1], "head.projection.bias", change))
    monkeypatch.setattr("safetensors.torch.load_file", lambda path: pytest.fail("tensors were read"))
    with pytest.raises(CheckpointError, match=sentence):
        load_safetensors(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(value: float, tmp_path: Path) -> None:
    model = create_model(NAME, num_classes=3)
    with torch.no_grad():
        model.backbone.blocks[1].attn.proj.bias[5] = value
    path = tmp_path / "x.safetensors"
    save_safetensors(
        path, model, CheckpointMetadata(NAME, model.config, model_entry(NAME).preprocessing, ("a", "b", "c"), 1, {})
    )
    torch.save(model.state_dict(), tmp_path / "x.pth")
    sentence = r"backbone\.blocks\.1\.attn\.proj\.bias holds values that are not finite"
    with pytest.raises(CheckpointError, match=sentence):
        load_safetensors(path)
    with pytest.raises(CheckpointError, match=sentence):
        create_model(NAME, checkpoint=tmp_path / "x.pth", num_classes=3)


def test_weights_whose_sum_overflows_are_finite(tmp_path: Path) -> None:
    model = create_model(NAME, num_classes=3)
    with torch.no_grad():
        model.head.projection.bias.fill_(3e38)
    torch.save(model.state_dict(), tmp_path / "x.pth")
    assert create_model(NAME, checkpoint=tmp_path / "x.pth", num_classes=3).head.projection.bias.min() > 1e38


def test_a_huge_header_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.write((MAX_HEADER_BYTES + 1).to_bytes(8, "little"))
        file.truncate(MAX_HEADER_BYTES + 1000)
    with pytest.raises(CheckpointError, match="its header claims"):
        read_metadata(path)


def test_a_file_that_claims_a_huge_tensor_takes_no_memory(whole: tuple[Header, State], tmp_path: Path) -> None:
    """A sparse file has any size for nothing."""
    path, size = tmp_path / "x.safetensors", 2**33
    header = {
        "__metadata__": {"memvit": json.dumps(whole[0])},
        "backbone.cls_token": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]},
    }
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match="the file is of a model with 0 blocks"):
        load_safetensors(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_the_file_says_how_many_classes_it_has(whole: tuple[Header, State], tmp_path: Path) -> None:
    path = write(tmp_path / "x.safetensors", *whole)
    assert create_model(NAME, checkpoint=path).config.head.num_classes == 3
    assert create_model(NAME, checkpoint=path, num_classes=5).config.head.num_classes == 5
    with pytest.raises(CheckpointError, match="of a model with 4 blocks, this model has 16"):
        create_model("mvitv2_s_16x4.k400", checkpoint=path)


def test_numbers_without_fractions_are_no_weights(whole: tuple[Header, State], tmp_path: Path) -> None:
    state: Mapping[str, torch.Tensor] = {name: value.int() for name, value in whole[1].items()}
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"is of type torch.int32, weights are floating-point numbers"):
        create_model(NAME, checkpoint=tmp_path / "x.pth", num_classes=3)
