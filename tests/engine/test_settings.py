"""Devices that are chosen by name, and random weights."""

from __future__ import annotations

import pytest
import torch

from memvit.engine.settings import choose_device, open_engine
from memvit.types import MemvitError


@pytest.mark.parametrize(("count", "last"), [(1, "use cuda:0$"), (4, "use cuda:0 to cuda:3$")])
def test_missing_gpu_is_refused(count: int, last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(MemvitError, match=f"device cuda:9: there is no such GPU; {last}"):
        choose_device("cuda:9")
    for name in ("cuda", f"cuda:{count - 1}", "auto", "cpu"):
        assert choose_device(name).type == ("cpu" if name == "cpu" else "cuda")


def test_random_weights_do_not_change_the_callers_random_state() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, _ = open_engine("memvit_tiny_8x4", None, random_weights=True, device="cpu")
    assert torch.equal(torch.rand(3), expected)
    second, _ = open_engine("memvit_tiny_8x4", None, random_weights=True, device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True))
