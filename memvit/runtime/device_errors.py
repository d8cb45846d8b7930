"""Whether the device can still compute: some errors are those of one batch, others last until the process ends."""

from __future__ import annotations

import torch

from memvit.types import MemvitError


class DeviceLost(MemvitError):
    """The device computes nothing any more in this process."""


def device_answers(device: torch.device) -> bool:
    """Whether a small computation succeeds now.

    Asked after an error. After some CUDA errors (an illegal access, a failed assertion in a kernel, a device that fell
    off the bus) every later call fails, too. The words and types of errors do not tell those from the others.
    """
    if device.type == "cpu":
        return True
    try:
        return torch.ones(1, device=device).add(1).item() == 2.0
    except torch.OutOfMemoryError:  # passes when others free their memory
        return True
    except RuntimeError:
        return False
