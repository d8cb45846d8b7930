"""Weights from files of others, and back: complete or refused with a sentence, and never run."""

from __future__ import annotations

import collections
import logging
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from memvit.detection import Detector, create_detector
from memvit.detection.checkpoints import load_weights, read_state, save_detectron2
from memvit.detection.layout import to_detectron2
from memvit.models import CheckpointError, create_model
from pipelines.cli.app import app
from tests.conftest import filled

TINY = "mask_rcnn_mvitv2_tiny"


def their_arrays(detector: Detector) -> dict[str, Any]:
    """The weights of a detector as detectron2 holds them."""
    state = to_detectron2(detector.network.state_dict(), detector.network.config)
    return {name: value.numpy() for name, value in state.items()}


def assert_same(one: Detector, other: Detector) -> None:
    expected, found = one.network.state_dict(), other.network.state_dict()
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]) and value.dtype == found[name].dtype, name


@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_weights_return_bit_by_bit(tiny_detector: Detector, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"theirs{suffix}"
    save_detectron2(tiny_detector.network, path)
    assert_same(tiny_detector, create_detector(TINY, checkpoint=path))
    again = tmp_path / f"again{suffix}"
    save_detectron2(create_detector(TINY, checkpoint=path).network, again)
    first, second = read_state(path), read_state(again)
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert "roi_heads.mask_head.mask_fcn1.weight" in first
    assert first["backbone.bottom_up.patch_embed.proj.weight"].ndim == 4


def test_the_command_converts_detectors(tiny_detector: Detector, tmp_path: Path) -> None:
    first, middle, last = tmp_path / "a.pkl", tmp_path / "b.safetensors", tmp_path / "c.pkl"
    save_detectron2(tiny_detector.network, first)
    for words in ([first, middle, "--to", "memvit"], [middle, last, "--to", "official"]):
        done = CliRunner().invoke(app, ["convert", *map(str, words), "--model", TINY])
        assert done.exit_code == 0, done.output
    expected, found = read_state(first), read_state(last)
    assert expected.keys() == found.keys() and all(torch.equal(expected[name], found[name]) for name in expected)
    refused = CliRunner().invoke(app, ["convert", str(first), str(middle), "--to", "timm", "--model", TINY])
    assert refused.exit_code == 1 and "two layouts" in refused.output


@pytest.mark.parametrize("protocol", range(2, 6))
def test_every_protocol_of_pickle_is_read(tiny_detector: Detector, tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"model": their_arrays(tiny_detector), "__author__": "x"}, protocol))
    assert_same(tiny_detector, create_detector(TINY, checkpoint=path))


def test_names_of_older_numpy_and_other_orders_are_read(tiny_detector: Detector, tmp_path: Path) -> None:
    arrays = {
        name: np.asfortranarray(value.astype(value.dtype.newbyteorder(">")))
        for name, value in their_arrays(tiny_detector).items()
    }
    content = pickle.dumps({"model": collections.OrderedDict(arrays)}, 2)
    path = tmp_path / "model.pkl"
    path.write_bytes(content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    assert_same(tiny_detector, create_detector(TINY, checkpoint=path))


def test_a_training_checkpoint_is_read(tiny_detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "model_0004999.pth"
    state = {f"module.{name}": torch.from_numpy(value) for name, value in their_arrays(tiny_detector).items()}
    torch.save({"model": state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}, "iteration": 4999}, path)
    assert_same(tiny_detector, create_detector(TINY, checkpoint=path))


def test_a_state_dict_of_ours_is_read(tiny_detector: Detector, tmp_path: Path) -> None:
    torch.save(tiny_detector.network.state_dict(), tmp_path / "ours.pth")
    assert_same(tiny_detector, create_detector(TINY, checkpoint=tmp_path / "ours.pth"))


@pytest.mark.parametrize(("image", "name"), [("mvitv2_t.in1k", "mask_rcnn_mvitv2_t.coco")])
def test_an_image_model_fills_the_backbone(
    image: str, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = filled(create_model(image))
    torch.save(
        {"model_state": {name.removeprefix("backbone."): value for name, value in model.state_dict().items()}},
        tmp_path / "image.pyth",
    )
    with caplog.at_level(logging.WARNING, "memvit"):
        detector = create_detector(name, checkpoint=tmp_path / "image.pyth")
    expected, found = model.state_dict(), detector.network.state_dict()
    shared = [key for key in found if key.startswith("backbone.") and "stage_norms" not in key]
    assert len(shared) > 100 and all(torch.equal(found[key], expected[key]) for key in shared)
    assert "stayed new" in caplog.text and "stage_norms" in caplog.text


def test_an_image_model_of_another_size_is_refused(tmp_path: Path) -> None:
    torch.save(create_model("mvitv2_tiny_8x4").state_dict(), tmp_path / "image.pth")
    with pytest.raises(CheckpointError, match="blocks"):
        create_detector(TINY, checkpoint=tmp_path / "image.pth")


def test_weights_of_another_detector_are_refused(tiny_detector: Detector, tmp_path: Path) -> None:
    arrays = their_arrays(tiny_detector)
    arrays.pop("proposal_generator.rpn_head.conv.bias")
    arrays["roi_heads.box_predictor.cls_score.weight"] = np.zeros((5, 128), np.float32)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"model": arrays}))
    with pytest.raises(CheckpointError, match=r"another shape .*1 parameters are missing"):
        create_detector(TINY, checkpoint=tmp_path / "model.pkl")


def test_values_that_are_not_finite_are_refused(tiny_detector: Detector, tmp_path: Path) -> None:
    arrays = their_arrays(tiny_detector)
    arrays["backbone.fpn_output2.bias"] = np.full_like(arrays["backbone.fpn_output2.bias"], np.nan)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"model": arrays}))
    with pytest.raises(CheckpointError, match="not finite"):
        create_detector(TINY, checkpoint=tmp_path / "model.pkl")


class Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


class Makes:
    """Makes an object out of anything when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.made = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.made


def test_nothing_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"model": {"a": Runs(f"touch {mark}")}}))
    with pytest.raises(CheckpointError, match="could run code"):
        read_state(tmp_path / "model.pkl")
    assert not mark.exists()


REFUSED = {
    "a class": pickle.dumps({"model": Path("x")}),
    "bytearray": pickle.dumps({"model": Makes(bytearray, 10**12)}),
    "numpy zeros": pickle.dumps({"model": Makes(np.zeros, 10**12)}),
    "an array of objects": pickle.dumps({"model": {"a": np.array([Path("x")], object)}}),
    "an extension": b"\x80\x02\x84\x01\x00\x00\x00.",
    "a text longer than the file": b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"abc.",
    "bytes longer than the file": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"abc.",
    "a place far away": b"\x80\x04Nr" + struct.pack("<I", 2**31 - 1) + b".",
    "nothing": b"",
    "no pickle": b"hello, world",
    "a list": pickle.dumps([1, 2]),
    "no arrays": pickle.dumps({"model": {"a": 1}}),
}


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_file_of_arrays_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.pkl: "):
        read_state(path)


def test_an_array_must_be_as_large_as_it_says(tmp_path: Path) -> None:
    content = pickle.dumps({"model": {"weight": np.arange(6, dtype=np.float32).reshape(2, 3)}}, 2)
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    assert read_state(path)["weight"].shape == (2, 3)
    wrong = content.replace(b"K\x02K\x03\x86", b"K\x02J\xff\xff\xff\x7f\x86")
    assert wrong != content
    path.write_bytes(wrong)
    with pytest.raises(CheckpointError, match="another size than its shape"):
        read_state(path)


def test_a_text_that_is_encoded_again_and_again_is_refused(tmp_path: Path) -> None:
    """A few bytes for each copy of a long text must not take more memory than the file has bytes."""
    text = "x" * 10_000
    encode = b"c_codecs\nencode\n"
    content = (
        b"\x80\x02"
        + encode
        + b"q\x00X"
        + struct.pack("<I", len(text))
        + text.encode()
        + b"q\x01]("
        + (b"h\x00h\x01X\x06\x00\x00\x00latin1\x86R" * 100)
        + b"e."
    )
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a complete pickle"):
        read_state(path)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_a_file_that_is_cut_off_is_refused(tiny_detector: Detector, tmp_path: Path, kept: float) -> None:
    path = tmp_path / "model.pkl"
    save_detectron2(tiny_detector.network, path)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(CheckpointError, match="not a complete pickle"):
        load_weights(tiny_detector.network, path)


def nested(build: str) -> bytes:
    """A pickle with 60 objects, each of which holds the one before it twice."""
    content = b"\x80\x04" + (b")" if build == "tuples" else b"]") + b"\x94"
    for place in range(60):
        get = b"h" + bytes([place])
        content += (get + get + b"\x86" if build == "tuples" else b"(" + get + get + b"l") + b"\x94"
    return content


DTYPE = b"cnumpy\ndtype\n"
HOSTILE = {
    "a key": nested("tuples") + b"}h\x3cK\x01s.",
    "the keys of a whole dictionary": b"\x80\x04(" + nested("tuples")[2:] + b"0h\x3cK\x01d.",
    "an element of a set": nested("tuples") + b"\x8f(h\x3c\x90.",
    "the name of a type": nested("lists") + DTYPE + b"h\x3c\x85R.",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_would_take_forever_is_refused(content: bytes, tmp_path: Path) -> None:
    """Tuples that hold one other twice, and so on: a few hundred bytes, whose hash takes years."""
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.pkl: "):
        read_state(path)


def test_dictionaries_that_are_shared_are_read_once(tmp_path: Path) -> None:
    inner: dict[str, Any] = {"weight": np.zeros(3, np.float32)}
    for _ in range(4):
        inner = {f"{number}": inner for number in range(300)}
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"model": inner}))
    with pytest.raises(CheckpointError):
        read_state(path)


def test_an_array_of_many_names_takes_no_more_memory_than_the_file(tmp_path: Path) -> None:
    array = np.zeros(100_000, np.float32)
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"model": {f"{number}": array for number in range(10_000)}}))
    with pytest.raises(CheckpointError, match="its arrays are larger than the file"):
        read_state(path)
