"""Trains on several GPUs or machines through Ray Train. Each worker runs the ordinary training loop.

Training is data-parallel: every worker has its share of each batch (for actions, of the lanes), and gradients are
averaged, so the model learns what one process with the whole batch would learn. All machines must see the driver's
working folder and `run.out`.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch

from memvit.training.loop import TrainingEvent
from memvit.training.recipe import Recipe
from memvit.training.run_state import RunState
from memvit.training.world import STEP_TIMEOUT
from memvit.types import MemvitError
from pipelines.stopping import stop_requested

from .data_paths import check_data_paths

POLL_SECONDS = 0.3
"""Pause between two times that the driver reads the workers' messages."""


@dataclass(frozen=True)
class RunEnded:
    """The last message of a run: how far it came, and whether it was interrupted."""

    state: RunState
    interrupted: bool


WorkerMessage: TypeAlias = "TrainingEvent | str | RunEnded"


class ProgressChannel:
    """Carries messages from a run's first worker to its driver, and the driver's request to stop to the workers."""

    def __init__(self) -> None:
        self._messages: list[WorkerMessage] = []
        self._should_stop = False

    def send(self, message: WorkerMessage) -> bool:
        """Leave a message for the driver. Returns whether the run should stop."""
        self._messages.append(message)
        return self._should_stop

    def take(self) -> list[WorkerMessage]:
        """The messages since the last call."""
        messages, self._messages = self._messages, []
        return messages

    def stop(self) -> None:
        """Ask the workers to write a checkpoint and to end."""
        self._should_stop = True


def train_on_ray(
    recipe: Recipe,
    workers: int,
    *,
    address: str | None,
    on_event: Callable[[TrainingEvent], None],
    on_note: Callable[[str], None],
) -> tuple[RunState, bool]:
    """Train as `train` does, on `workers` processes of a Ray cluster, or of this machine without an `address`.

    MemvitError if Ray is not installed, there are too few GPUs or cores for the workers, or one failed. The same call
    again continues from the last checkpoint.
    """
    try:
        import ray
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        from pipelines.cluster import Cluster
    except ImportError as error:
        raise MemvitError("several workers need Ray: pip install 'memvit[ray]'") from error
    check_data_paths(recipe)
    storage = Path(recipe.run.out).absolute() / "ray"  # Ray needs a folder that all machines see
    started_here = not ray.is_initialized()
    cluster = Cluster.join(address) if started_here else Cluster.joined()
    try:
        use_gpu = uses_gpus(recipe.run.device, cluster.gpus)
        if address is None:
            _check_room(workers, "GPUs" if use_gpu else "CPU cores", cluster.gpus if use_gpu else cluster.cpus)
        on_note(f"starting {workers} workers")
        channel = ray.remote(num_cpus=0)(ProgressChannel).remote()
        trainer = TorchTrainer(
            worker,
            train_loop_config={"recipe": recipe, "folder": str(Path.cwd()), "channel": channel, "use_gpu": use_gpu},
            # For the default process group, which carries gradients only, as memvit.training.world explains.
            torch_config=TorchConfig("nccl" if use_gpu else "gloo", timeout_s=int(STEP_TIMEOUT.total_seconds())),
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=use_gpu),
            run_config=RunConfig(storage_path=str(storage), failure_config=FailureConfig(max_failures=0)),
        )
        return _follow(trainer.fit, channel, on_event, on_note)
    finally:
        shutil.rmtree(storage, ignore_errors=True)
        if started_here:
            ray.shutdown()


def uses_gpus(device: str, gpus: int) -> bool:
    """Whether each worker gets a GPU; MemvitError if `run.device` asks for what a cluster cannot give."""
    if device not in ("auto", "cpu", "cuda"):
        raise MemvitError(f"run.device={device}: workers on Ray take run.device=auto, cuda or cpu; Ray deals GPUs out")
    if device == "cuda" and not gpus:
        raise MemvitError("run.device=cuda: Ray finds no GPU in this cluster; use run.device=cpu")
    return device != "cpu" and gpus > 0


def _check_room(workers: int, what: str, there: int) -> None:
    if workers > there:
        raise MemvitError(
            f"--workers {workers}: this machine has {there} {what}, and every worker needs one; ask for fewer, or name "
            "a cluster with --address"
        )


def _follow(
    fit: Callable[[], object], channel: Any, on_event: Callable[[TrainingEvent], None], on_note: Callable[[str], None]
) -> tuple[RunState, bool]:
    """Report the workers' messages until the run has ended. Ctrl-C asks the workers for a checkpoint first."""
    import ray

    ended: list[RunEnded] = []
    # Runs in a thread, because in the main thread Ray would handle Ctrl-C itself and end without a checkpoint.
    fitting = _in_background(fit)
    try:
        with stop_requested() as stopping:
            is_over = is_asked = False
            while not is_over:
                is_over = bool(wait([fitting], POLL_SECONDS).done)
                if stopping.is_set() and not is_asked:
                    is_asked = True
                    on_note("stopping after the step at hand; Ctrl-C again ends at once")
                    ray.get(channel.stop.remote())
                for message in ray.get(channel.take.remote()):
                    if isinstance(message, RunEnded):
                        ended.append(message)
                    elif isinstance(message, str):
                        on_note(message)
                    else:
                        on_event(message)
        fitting.result()
    except Exception as error:  # Ray wraps a worker's error in types of its own
        raise MemvitError(f"a training worker failed: {_innermost(error)}") from error
    return ended[-1].state, ended[-1].interrupted


def _in_background(work: Callable[[], object]) -> Future[object]:
    """Run `work` in a daemon thread. Unlike the thread of a pool, it does not keep the process from ending."""
    future: Future[object] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="ray-train", daemon=True).start()
    return future


def worker(config: dict[str, Any]) -> None:
    """Run one process of the training. The first one reports its progress to the driver."""
    import ray
    from ray.train import get_context
    from ray.train.torch import get_device

    from .run import train

    channel, should_stop = config["channel"], False
    is_first = get_context().get_world_rank() == 0

    def send(message: WorkerMessage) -> None:
        nonlocal should_stop
        if is_first:
            should_stop = ray.get(channel.send.remote(message))

    os.chdir(config["folder"])  # the recipe's paths are relative to the driver's folder
    # Ray knows which GPU it has assigned to this process. Without one, get_device() would still say cuda:0.
    device = get_device() if config["use_gpu"] else torch.device("cpu")
    send(RunEnded(*train(config["recipe"], send, send, lambda: should_stop, device)))


def _innermost(error: BaseException) -> str:
    """The message of the first cause in a chain of errors.

    If several workers failed, that of one which failed with a MemvitError: the others fail only because its connection
    has closed.
    """
    worker = getattr(error, "worker_failures", None)
    if worker:
        failures = list(worker.values())
        return _innermost(next((failure for failure in failures if _is_explained(failure)), failures[0]))
    return str(_causes(error)[-1]).strip().splitlines()[-1]


def _is_explained(error: BaseException) -> bool:
    return any(isinstance(cause, MemvitError) for cause in _causes(error))


def _causes(error: BaseException) -> list[BaseException]:
    causes = [error]
    while (inner := getattr(causes[-1], "cause", None) or causes[-1].__cause__) is not None and inner not in causes:
        causes.append(inner)
    return causes
