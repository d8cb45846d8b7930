"""A copy of a network for inference, on a device and in a type, whose parts a runner may replace."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from .roi_align import use_operator

Network = TypeVar("Network", bound=nn.Module)


def inference_twin(network: Network, device: torch.device, dtype: torch.dtype) -> Network:
    """The network in evaluation mode on `device`, its floating-point weights in `dtype`.

    The original is not changed. Both share the tensors that need no conversion.
    """

    def moved(tensor: Tensor) -> Tensor:
        value = tensor.detach().to(device, dtype if tensor.is_floating_point() else None)
        return nn.Parameter(value, requires_grad=False) if isinstance(tensor, nn.Parameter) else value

    tensors = [*network.parameters(), *network.buffers()]
    twin = copy.deepcopy(network, {id(tensor): moved(tensor) for tensor in tensors}).eval()
    use_operator(twin)
    return twin
