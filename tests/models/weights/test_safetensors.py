"""Checkpoints that describe themselves."""

from __future__ import annotations

from pathlib import Path

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
from tests.conftest import filled
from tests.golden import fill

NAME = "memvit_tiny_8x4"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    model = filled(create_model(NAME, num_classes=3))
    entry = model_entry(NAME)
    description = CheckpointMetadata(NAME, model.config, entry.preprocessing, ("a", "b", "c"), 1, {"steps": 7})
    save_safetensors(tmp_path / "model.safetensors", model, description)
    return tmp_path / "model.safetensors"


@torch.inference_mode()
def test_the_file_alone_gives_the_model_back(path: Path) -> None:
    model, description = load_safetensors(path)
    assert description == read_metadata(path)
    assert (description.name, description.classes, description.first_id) == (NAME, ("a", "b", "c"), 1)
    assert description.preprocessing == model_entry(NAME).preprocessing
    assert description.source == {"steps": 7}
    original = filled(create_model(NAME, num_classes=3))
    assert model.config == original.config
    clip, box = fill.clip("own", (1, 3, 8, 64, 64)), [torch.tensor([[0.0, 0, 40, 40]])]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), original.parameters(), strict=True))
    # Tensors that lie elsewhere in memory may be summed in another order.
    torch.testing.assert_close(model(clip, box)[0], original(clip, box)[0], atol=1e-5, rtol=0)


def test_it_is_an_ordinary_checkpoint_too(path: Path) -> None:
    model = create_model(NAME, checkpoint=path, num_classes=3)
    assert torch.equal(model.head.projection.weight, load_file(path)["head.projection.weight"])


def test_changed_tensors_are_noticed(path: Path) -> None:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    state = load_file(path)
    state["head.projection.bias"] += 1
    save_file(state, path, metadata=metadata)
    with pytest.raises(CheckpointError, match="not those it was written with"):
        load_safetensors(path)


def test_other_files_do_not_describe_themselves(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    assert read_metadata(tmp_path / "x.safetensors") is None
    assert read_metadata(tmp_path / "none.pth") is None
    with pytest.raises(CheckpointError, match="does not describe itself"):
        load_safetensors(tmp_path / "x.safetensors")
    (tmp_path / "y.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(CheckpointError, match="not a complete safetensors file"):
        read_metadata(tmp_path / "y.safetensors")


def test_classes_must_be_the_model_s(tmp_path: Path) -> None:
    model = create_model(NAME, num_classes=3)
    with pytest.raises(ValueError, match="2 class names for 3 classes"):
        save_safetensors(
            tmp_path / "m.safetensors",
            model,
            CheckpointMetadata(NAME, model.config, model_entry(NAME).preprocessing, ("a", "b"), 1, {}),
        )
