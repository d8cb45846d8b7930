"""Connects to a Ray cluster, or starts one on this machine."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

import ray

from memvit.engine.settings import ModelSettings
from memvit.types import MemvitError


@dataclass(frozen=True)
class Cluster:
    """The Ray cluster that this process is connected to."""

    gpus: int
    """Number of GPUs of all its machines."""
    cpus: int
    """Number of CPU cores of all its machines."""

    @staticmethod
    def join(address: str | None) -> Cluster:
        """Connect to the cluster at an address, or start one on this machine if the address is None.

        Raises MemvitError if that fails.
        """
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            ray.init(
                address=address or "local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
            )
        except Exception as error:  # Ray raises its own exceptions, those of gRPC, and built-in ones.
            if address is None:
                raise MemvitError(
                    f"several workers need Ray, which does not start here ({first_line(error)}); repair it, or use one"
                ) from error
            raise MemvitError(
                f"--address {address}: no connection to this cluster ({first_line(error)}); if it asks for a token, "
                "set RAY_AUTH_TOKEN, or RAY_AUTH_MODE=disabled as on the cluster"
            ) from error
        return Cluster.joined()

    @staticmethod
    def joined() -> Cluster:
        """Describe the cluster that this process is connected to."""
        resources = ray.cluster_resources()
        return Cluster(int(resources.get("GPU", 0)), int(resources.get("CPU", 0)))

    def settled(self, settings: ModelSettings) -> ModelSettings:
        """Replace `auto` by the device and precision of the cluster, and paths by absolute ones.

        The cluster may have GPUs that this machine lacks, and its workers run in another folder.
        """
        device = settings.device
        if device == "auto":
            device = "cuda" if self.gpus else "cpu"
        precision = settings.precision
        if precision == "auto":
            precision = "float32" if device == "cpu" else "bfloat16"
        paths = {
            name: path.absolute()
            for name in ("checkpoint", "labels", "boxes_weights")
            if (path := getattr(settings, name)) is not None
        }
        boxes = settings.boxes
        if boxes and boxes.endswith(".csv"):
            boxes = str(Path(boxes).absolute())
        return replace(settings, device=device, precision=precision, boxes=boxes, **paths)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
