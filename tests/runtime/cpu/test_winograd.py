"""Convolutions with fewer products give what the direct ones give."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from memvit.runtime.cpu import winograd
from memvit.runtime.cpu.winograd import WinogradConv


@pytest.mark.parametrize(
    ("batch", "height", "width"), [(1, 4, 4), (1, 1, 1), (2, 7, 7), (5, 14, 14), (1, 33, 50), (2, 19, 2), (0, 4, 4)]
)
@pytest.mark.parametrize("relu", [False, True])
def test_it_gives_what_the_direct_convolution_gives(
    batch: int, height: int, width: int, relu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winograd, "STRIP", 20)  # several strips, and several pictures in one
    torch.manual_seed(0)
    x, weight, bias = torch.randn(batch, 8, height, width), torch.randn(6, 8, 3, 3), torch.randn(6)
    found = WinogradConv(weight, bias, relu=relu)(x)
    expected = F.conv2d(x, weight, bias, padding=1)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, expected.relu() if relu else expected, atol=5e-5, rtol=1e-5)


def test_its_rounding_is_small() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(1, 256, 24, 24), torch.randn(64, 256, 3, 3) / 48
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    error = (WinogradConv(weight, torch.zeros(64), relu=False)(x) - exact).abs().max()
    assert float(error) < 1.5e-5 and float(exact.std()) == pytest.approx(1, rel=0.1)
