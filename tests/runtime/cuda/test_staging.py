"""One copy for all: values, types and shapes come through, and buffers are not overwritten too early."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from memvit.runtime.cuda.staging import ALIGNMENT, Downloads, Uploads

CPU = torch.device("cpu")


@pytest.mark.parametrize("device", [CPU, pytest.param(torch.device("cuda:0"), marks=pytest.mark.needs_cuda)], ids=str)
def test_tensors_of_all_types_arrive_as_they_were(device: torch.device) -> None:
    uploads = Uploads(device, pinned=device.type == "cuda")
    sent = [
        torch.arange(7, dtype=torch.uint8),
        torch.randn(3, 5),
        torch.tensor([[1, -2]]),
        torch.tensor([True, False, True]),
        torch.zeros(0, 4),
    ]
    for _ in range(5):
        found = uploads.send(sent)
        for tensor, there in zip(sent, found, strict=True):
            assert there.device == device and torch.equal(there.cpu(), tensor)
            assert not len(there) or (there.data_ptr() - found[0].data_ptr()) % ALIGNMENT == 0


@pytest.mark.parametrize("device", [CPU, pytest.param(torch.device("cuda:0"), marks=pytest.mark.needs_cuda)], ids=str)
def test_what_was_sent_stays_when_more_is_sent(device: torch.device) -> None:
    uploads = Uploads(device, pinned=device.type == "cuda")
    found = [uploads.send([torch.full((1000,), value)])[0] for value in range(20)]
    assert [int(there[0]) for there in found] == list(range(20))


@pytest.mark.parametrize("device", [CPU, pytest.param(torch.device("cuda:0"), marks=pytest.mark.needs_cuda)], ids=str)
def test_values_are_fetched_as_float32_and_are_the_callers(device: torch.device) -> None:
    downloads = Downloads(pinned=device.type == "cuda")
    first = downloads.fetch(
        [torch.full((2, 3), 1.5, dtype=torch.bfloat16, device=device), torch.ones(4, device=device)]
    )
    second = downloads.fetch([torch.zeros(2, 3, device=device)])
    assert first[0].dtype == np.float32 and first[0].tolist() == [[1.5] * 3] * 2 and first[1].tolist() == [1.0] * 4
    assert second[0].tolist() == [[0.0] * 3] * 2
    assert downloads.fetch([]) == []


def test_values_can_be_fetched_in_and_out_of_inference_mode() -> None:
    downloads = Downloads(pinned=False)
    with torch.inference_mode():
        downloads.fetch([torch.zeros(4)])
    assert downloads.fetch([torch.ones(2)])[0].tolist() == [1.0, 1.0]
