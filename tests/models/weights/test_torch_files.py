"""PyTorch files from elsewhere: sizes and calls are checked before anything is unpacked."""

from __future__ import annotations

import collections
import resource
import zipfile
from pathlib import Path

import pytest
import torch

from memvit.models import CheckpointError
from memvit.models.weights.torch_files import load_torch_file


class Calls:
    """Pickled as the call of a function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    torch.save({"weight": torch.zeros(2**24)}, tmp_path / "plain.pth")
    with zipfile.ZipFile(tmp_path / "plain.pth") as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for entry in plain.infolist():
            bomb.writestr(entry.filename, plain.read(entry))
    assert path.stat().st_size < 1e6
    with pytest.raises(CheckpointError, match=r"parts of 67\.\d MB in all are packed into 0\.\d MB"):
        load_torch_file(path)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "call", [Calls(bytearray, 2**31), Calls(collections.Counter, "ab"), Calls(torch.Tensor, 4), Calls(print, "x")]
)
def test_calls_that_no_file_of_tensors_needs_are_refused(call: Calls, legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"model": {"weight": call}}, path, _use_new_zipfile_serialization=not legacy)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match="holds Python objects besides tensors"):
        load_torch_file(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


@pytest.mark.parametrize("legacy", [False, True])
def test_files_of_tensors_and_plain_values_are_read(legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    parameter = torch.nn.Parameter(torch.ones(3))
    content = {
        "model": collections.OrderedDict(weight=parameter, half=torch.ones(2).half(), count=torch.tensor(7)),
        "optimizer": {"state": {0: {"step": 7, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]},
        "size": torch.Size([3]),
        "type": torch.float32,
        "epochs": {1, 2},
        "seed": 2**21 if legacy else 2**62,
    }
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    found = load_torch_file(path)
    assert isinstance(found, dict) and found.keys() == content.keys()
    assert found["epochs"] == {1, 2} and torch.equal(found["model"]["weight"], parameter)


def test_a_legacy_file_that_claims_huge_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"weight": torch.zeros(1000)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert b"M\xe8\x03" in content
    path.write_bytes(content.replace(b"M\xe8\x03", b"J\xff\xff\xff\x7f"))  # 1000 as the largest of 4 bytes
    with pytest.raises(CheckpointError, match="a number out of all proportion"):
        load_torch_file(path)


def test_a_folder_or_a_file_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint file"):
        load_torch_file(tmp_path)
    with (tmp_path / "huge.pth").open("wb") as file:
        file.truncate(2**37)
    with pytest.raises(CheckpointError, match="137 GB are more than any checkpoint"):
        load_torch_file(tmp_path / "huge.pth")
