"""The file of a head: read as written, tied to its model, refused with a sentence if it is anything else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from memvit.engine.heads import labels_with_heads, scores_with_heads
from memvit.labels import Labels
from memvit.teaching import Head, HeadError, ModelIdentity, load_head, save_head

MODEL = ModelIdentity.of("tiny", "a" * 64, {"layers": 2}, {"num_frames": 8, "hop_seconds": 1.0}, remember=True)


def head(**more: object) -> Head:
    weight = np.random.default_rng(0).standard_normal(6).astype(np.float32)
    return replace(Head("opens fridge", "people", MODEL, weight, -0.25, 0.5, {"labels": 20}), **more)  # type: ignore[arg-type]


def test_a_head_is_read_as_it_was_written(tmp_path: Path) -> None:
    save_head(tmp_path / "head.safetensors", head())
    found = load_head(tmp_path / "head.safetensors")
    assert (found.name, found.reads, found.model, found.bias, found.threshold) == (
        "opens fridge", "people", MODEL, -0.25, 0.5,
    )  # fmt: skip
    assert found.source == {"labels": 20}
    features = np.random.default_rng(1).standard_normal((5, 6)).astype(np.float16)
    expected = 1 / (1 + np.exp(-(features.astype(np.float64) @ head().weight - 0.25)))
    assert found.scores(features) == pytest.approx(expected, abs=1e-6)
    assert found.scores(np.full((1, 6), 1e4) * np.sign(head().weight)) == pytest.approx([1.0])
    assert [path.name for path in tmp_path.iterdir()] == ["head.safetensors"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(MODEL, weights_sha256="b" * 64), "with other weights"),
        (replace(MODEL, name="large", weights_sha256="b" * 64), "the model tiny, not of large"),
        (ModelIdentity.of("tiny", "a" * 64, {"layers": 2}, {"num_frames": 16}, remember=True), "other clips"),
        (replace(MODEL, remember=False), "with memory"),
    ],
)
def test_another_model_is_refused(other: ModelIdentity, words: str) -> None:
    with pytest.raises(HeadError, match=rf"head\.safetensors.*{words}.*teach it again"):
        head().check_model(other, "head.safetensors")


def test_the_same_model_with_another_hop_or_name_is_not() -> None:
    same = ModelIdentity.of("copy", "a" * 64, {"layers": 2}, {"num_frames": 8, "hop_seconds": 0.5}, remember=True)
    head().check_model(same, "head.safetensors")


@pytest.mark.parametrize("damage", ["cut", "text", "no header", "long", "nan", "name", "shape", "reads"])
def test_any_other_file_gets_a_sentence(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    save_head(path, head())
    content = path.read_bytes()
    described = json.loads(
        json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["memvit_head"]
    )
    tensors = {"weight": head().weight, "bias": np.zeros(1, np.float32)}
    if damage == "cut":
        path.write_bytes(content[:-3])
    elif damage == "text":
        path.write_text("video,seconds,person,label\n")
    elif damage == "no header":
        save_file(tensors, path)
    else:
        changed = {
            "long": {"name": "x" * 100_000},
            "name": {"name": "a\nb"},
            "reads": {"reads": "minds"},
        }.get(damage, {})
        if damage == "nan":
            tensors["bias"][0] = np.nan
        if damage == "shape":
            tensors["weight"] = np.zeros((2, 3), np.float32)
        save_file(tensors, path, metadata={"memvit_head": json.dumps(described | changed)})
    with pytest.raises(HeadError, match=r"head\.safetensors"):
        load_head(path)


def test_a_file_that_is_not_there_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(HeadError, match="there is no such head"):
        load_head(tmp_path / "none.safetensors")
    with pytest.raises(HeadError, match="no such file or folder"):
        save_head(tmp_path / "none" / "head.safetensors", head())


def test_heads_add_columns_and_names() -> None:
    random = np.random.default_rng(0)
    scores, features = random.random((3, 2), np.float32), random.standard_normal(6).astype(np.float32)
    of_people = random.standard_normal((3, 6)).astype(np.float32)
    by_clip = head(name="fridge is open", reads="clips")
    found = scores_with_heads(scores, features, of_people, [head(), by_clip])
    assert (found[:, :2] == scores).all()
    assert (found[:, 2] == head().scores(of_people)).all()
    assert (found[:, 3] == by_clip.scores(features[None])[0]).all()
    assert scores_with_heads(scores[:0], features, of_people[:0], [head(), by_clip]).shape == (0, 4)
    names = labels_with_heads(Labels(("sit", "stand"), 1), [head(), by_clip], ["a", "b"])
    assert names == Labels(("sit", "stand", "opens fridge", "fridge is open"), 1)
    with pytest.raises(HeadError, match="b: there is an action 'Sit' already"):
        labels_with_heads(Labels(("sit", "stand"), 1), [head(), head(name="Sit")], ["a", "b"])
