"""Official files load unchanged; anything else is refused with a sentence that names the file."""

from __future__ import annotations

import logging
import pickle
import urllib.error
from pathlib import Path

import pytest
import torch
from torch import Tensor

from memvit.models import MODELS, CheckpointError, create_model
from memvit.models.create import published_weights
from memvit.models.weights.files import read_checkpoint
from memvit.models.weights.layouts import MEMVIT, from_ours
from tests.conftest import official_state
from tests.golden import fill

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def slowfast() -> State:
    return official_state("mvitv2_s_16x4_k400")


@pytest.fixture(scope="module")
def ava() -> State:
    return official_state("memvit_16_ava")


def kinetics(ava: State, *, memory: bool) -> State:
    """What a Kinetics MeMViT file holds: no boxes, 400 classes, with or without parameters of memory."""
    state = {
        name: value
        for name, value in ava.items()
        if not name.startswith(("box_blocks", "head")) and (memory or not ("compress" in name or "_mem_" in name))
    }
    for name, shape in (("head.projection.weight", (400, 768)), ("head.projection.bias", (400,))):
        state[name] = fill.weight(name, shape)
    return state


def saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def equal(model: torch.nn.Module, state: State) -> bool:
    found = from_ours(model.state_dict(), MEMVIT, model.config)
    return found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)


def optimizer_state(state: State) -> dict[str, object]:
    return {
        "state": {0: {"momentum_buffer": torch.zeros(3), "step": 7}},
        "param_groups": [{"lr": 0.1, "params": list(range(len(state)))}],
    }


@pytest.mark.parametrize("layout", ["plain", "with optimizer", "bare", "wrapped", "model key"])
def test_official_slowfast_files(layout: str, slowfast: State, tmp_path: Path) -> None:
    contents: dict[str, object] = {
        "plain": {"model_state": slowfast, "cfg": "TRAIN: {}", "epoch": 200},
        "with optimizer": {"epoch": 200, "optimizer_state": optimizer_state(slowfast), "model_state": slowfast},
        "bare": slowfast,
        "wrapped": {
            "model_state": {
                "module." + name.replace("blocks.1.", "blocks.1._checkpoint_wrapped_module."): value
                for name, value in slowfast.items()
            }
        },
        "model key": {"model": slowfast},
    }
    path = saved(contents[layout], tmp_path / "file.pyth")
    assert equal(create_model("mvitv2_s_16x4.k400", checkpoint=path), slowfast)


def test_half_precision_files_load_into_float32(slowfast: State, tmp_path: Path) -> None:
    path = saved({"model_state": {name: value.half() for name, value in slowfast.items()}}, tmp_path / "half.pyth")
    model = create_model("mvitv2_s_16x4.k400", checkpoint=path)
    weight = model.backbone.blocks[0].mlp.fc1.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, slowfast["blocks.0.mlp.fc1.weight"].half().float())


@pytest.mark.parametrize("memory", [True, False])
def test_kinetics_weights_start_an_ava_model(
    memory: bool, ava: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = saved({"model_state": kinetics(ava, memory=memory)}, tmp_path / "MeMViT_16L_16x4_K400.pyth")
    with caplog.at_level(logging.WARNING, logger="memvit"):
        model = create_model("memvit_16_16x4.ava_k400", checkpoint=path)
    found = from_ours(model.state_dict(), MEMVIT, model.config)
    assert torch.equal(found["blocks.9.attn.k.weight"], ava["blocks.9.attn.k.weight"])
    message = caplog.text
    assert "MeMViT_16L_16x4_K400.pyth" in message
    assert (
        "stayed new" in message and "head.projection.weight" in message and "head.box_blocks.0.attn.q.bias" in message
    )
    assert ("backbone.blocks.*.attn.compress_k.weight (16)" in message) == (not memory)


def test_a_kinetics_file_without_memory_makes_a_classifier_without_memory(ava: State, tmp_path: Path) -> None:
    state = kinetics(ava, memory=False)
    model = create_model("memvit_16_16x4.k400", checkpoint=saved({"model_state": state}, tmp_path / "k400.pyth"))
    assert equal(model, state)
    assert model.receptive_field == 0
    with_memory = create_model(
        "memvit_16_16x4.k400", checkpoint=saved({"model_state": kinetics(ava, memory=True)}, tmp_path / "mem.pyth")
    )
    assert with_memory.receptive_field == 32


def test_another_number_of_classes_keeps_the_backbone(slowfast: State, tmp_path: Path) -> None:
    path = saved({"model_state": slowfast}, tmp_path / "k400.pyth")
    model = create_model("mvitv2_s_16x4.k400", checkpoint=path, num_classes=7)
    assert model.head.projection.weight.shape == (7, 768)
    assert torch.equal(model.backbone.norm.weight, slowfast["norm.weight"])


class Harmless:
    """A class that a checkpoint must not be able to bring along."""


def broken_files(folder: Path, slowfast: State) -> dict[str, Path]:
    whole = saved({"model_state": slowfast}, folder / "whole.pyth")
    content = whole.read_bytes()
    (folder / "truncated.pyth").write_bytes(content[: len(content) // 2])
    (folder / "empty.pyth").write_bytes(b"")
    (folder / "text.pyth").write_text("not a checkpoint")
    (folder / "page.pyth").write_text("<html>404</html>")
    with (folder / "pickle.pyth").open("wb") as file:
        pickle.dump(Harmless(), file)
    saved({"model_state": slowfast, "extra": Harmless()}, folder / "code.pyth")
    saved([1, 2, 3], folder / "list.pyth")
    saved({"weight": torch.zeros(3)}, folder / "unknown.pyth")
    (folder / "damaged.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    return {path.stem: path for path in folder.iterdir()} | {"missing": folder / "missing.pyth"}


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("truncated", "not a complete PyTorch checkpoint"),
        ("empty", "not a complete PyTorch checkpoint"),
        ("text", "not a PyTorch checkpoint"),
        ("page", "not a PyTorch checkpoint"),
        ("pickle", "not a PyTorch checkpoint"),
        ("code", "objects besides tensors"),
        ("list", "a dictionary of parameters was expected, found a list"),
        ("unknown", "of no known layout: found parameters like weight, expected one of memvit, MeMViT"),
        ("damaged", "not a complete safetensors file"),
        ("missing", "there is no such checkpoint file"),
    ],
)
def test_what_is_no_checkpoint_gets_one_sentence(kind: str, sentence: str, tmp_path: Path, slowfast: State) -> None:
    path = broken_files(tmp_path, slowfast)[kind]
    with pytest.raises(CheckpointError) as caught:
        create_model("mvitv2_s_16x4.k400", checkpoint=path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and sentence in message
    assert "\n" not in message


def test_the_wrong_model_is_named(slowfast: State, ava: State, tmp_path: Path) -> None:
    path = saved({"model_state": slowfast}, tmp_path / "s.pyth")
    with pytest.raises(CheckpointError, match="a model with 16 blocks, this model has 24"):
        create_model("mvitv2_b_32x3.k400", checkpoint=path)
    with pytest.raises(CheckpointError, match=r"head.projection.bias is \(400,\), expected \(174,\)"):
        create_model("mvitv2_s_16x4.ssv2", checkpoint=path)
    with pytest.raises(CheckpointError, match=r"parameters are missing .*q.*not of this model .*qkv"):
        create_model("memvit_16_16x4.ava_k400", checkpoint=path)
    incomplete = {name: value for name, value in ava.items() if name != "blocks.3.attn.proj.bias"}
    with pytest.raises(CheckpointError, match=r"1 parameters are missing \(backbone.blocks.3.attn.proj.bias\)"):
        create_model("memvit_16_16x4.ava_k400", checkpoint=saved({"model_state": incomplete}, tmp_path / "i.pyth"))


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, (f"open({str(tmp_path / 'sprung')!r}, 'w')",))

    path = tmp_path / "trap.pyth"
    torch.save({"model_state": {"a": Trap()}}, path)
    with pytest.raises(CheckpointError, match="could run code"):
        read_checkpoint(path)
    assert not (tmp_path / "sprung").exists()


def test_pretrained_goes_through_the_cache(slowfast: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    asked: list[str] = []

    def download(url: str, target: str, progress: bool = True) -> None:
        asked.append(url)
        saved({"model_state": slowfast}, Path(target))

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):
        assert equal(create_model("mvitv2_s_16x4.k400", pretrained=True), slowfast)
    assert asked == [
        "https://dl.fbaipublicfiles.com/pyslowfast/model_zoo/mvitv2/pysf_video_models/"
        "MViTv2_S_16x4_k400_f302660347.pyth"
    ]


def test_offline_the_message_says_how_to_fetch_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(CheckpointError) as caught:
        create_model("memvit_16_16x4.ava_k400", pretrained=True)
    message = str(caught.value)
    assert "https://dl.fbaipublicfiles.com/memvit/models/AVA/MeMViT_16L_16x4_K400pt.pyth" in message
    assert str(tmp_path / "hub/checkpoints/MeMViT_16L_16x4_K400pt.pyth") in message


def test_our_names_load_from_safetensors(tiny: torch.nn.Module, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "tiny.safetensors"
    save_file(tiny.state_dict(), path)
    loaded = create_model("memvit_tiny_8x4", checkpoint=path)
    assert all(torch.equal(value, tiny.state_dict()[name]) for name, value in loaded.state_dict().items())


def test_the_licence_is_said_when_weights_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where they were downloaded before."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda url, path, progress: Path(path).write_bytes(b""))
    name = "memvit_16_16x4.ava_k400"
    for _ in range(2):
        published_weights(name, MODELS[name].weights)
    first, second = caplog.messages
    assert first.startswith("downloading https://") and "(licence CC-BY-NC-4.0, not for commercial use)" in first
    assert second == f"{name}: weights under CC-BY-NC-4.0, not for commercial use"
