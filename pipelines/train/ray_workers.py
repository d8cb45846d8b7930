"""Training on several GPUs or machines through Ray Train: each worker is an ordinary process of the one loop.

Data-parallel: every worker has its share of each batch (of the lanes, for actions), gradients are averaged, and what is
learned is what one process with the whole batch learns. All machines must see the folder that the driver works in, and
`run.out`.
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

from memvit.training.loop import Event
from memvit.training.recipe import Recipe
from memvit.training.run_state import RunState
from memvit.training.world import STEP_TIMEOUT
from memvit.types import MemvitError
from pipelines.stopping import stop_requested

LOOK_SECONDS = 0.3
"""Between two looks at the board."""


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    state: RunState
    interrupted: bool


News: TypeAlias = "Event | str | Ended"


class Board:
    """Between a run's first worker, which tells how it goes, and its driver, which may ask all of them to stop."""

    def __init__(self) -> None:
        self._news: list[News] = []
        self._should_stop = False

    def tell(self, news: News) -> bool:
        """Leave something for the driver; whether to stop."""
        self._news.append(news)
        return self._should_stop

    def take(self) -> list[News]:
        """What was told since the last time."""
        news, self._news = self._news, []
        return news

    def stop(self) -> None:
        """Ask for a checkpoint and an end."""
        self._should_stop = True


def train_on_ray(
    recipe: Recipe,
    workers: int,
    *,
    address: str | None,
    on_event: Callable[[Event], None],
    on_note: Callable[[str], None],
) -> tuple[RunState, bool]:
    """As `train`, on `workers` processes of a Ray cluster, or of this machine without an `address`.

    MemvitError if Ray is not installed, there is no room for so many workers, or one failed; the same call again goes
    on from the last checkpoint.
    """
    try:
        import ray
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        from pipelines.cluster import Cluster
    except ImportError as error:
        raise MemvitError("several workers need Ray: pip install 'memvit[ray]'") from error
    notes = Path(recipe.run.out).absolute() / "ray"  # Ray wants a folder that all machines see
    started_here = not ray.is_initialized()
    cluster = Cluster.join(address) if started_here else Cluster.joined()
    try:
        use_gpu = uses_gpus(recipe.run.device, cluster.gpus)
        if address is None:
            _check_room(workers, "GPUs" if use_gpu else "CPU cores", cluster.gpus if use_gpu else cluster.cpus)
        on_note(f"starting {workers} workers")
        board = ray.remote(num_cpus=0)(Board).remote()
        trainer = TorchTrainer(
            worker,
            train_loop_config={"recipe": recipe, "folder": str(Path.cwd()), "board": board, "use_gpu": use_gpu},
            # Of the default group, which carries gradients only: see memvit.training.world.
            torch_config=TorchConfig("nccl" if use_gpu else "gloo", timeout_s=int(STEP_TIMEOUT.total_seconds())),
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=use_gpu),
            run_config=RunConfig(storage_path=str(notes), failure_config=FailureConfig(max_failures=0)),
        )
        return _followed(trainer.fit, board, on_event, on_note)
    finally:
        shutil.rmtree(notes, ignore_errors=True)
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


def _followed(
    fit: Callable[[], object], board: Any, on_event: Callable[[Event], None], on_note: Callable[[str], None]
) -> tuple[RunState, bool]:
    """Show what the board says until the run has ended; Ctrl-C asks for a checkpoint first."""
    import ray

    ended: list[Ended] = []
    # In a thread of its own: in this one Ray would take Ctrl-C for itself, and end without a checkpoint.
    fitting = _in_background(fit)
    try:
        with stop_requested() as stopping:
            is_over = is_asked = False
            while not is_over:
                is_over = bool(wait([fitting], LOOK_SECONDS).done)
                if stopping.is_set() and not is_asked:
                    is_asked = True
                    on_note("stopping after the step at hand; Ctrl-C again ends at once")
                    ray.get(board.stop.remote())
                for news in ray.get(board.take.remote()):
                    if isinstance(news, Ended):
                        ended.append(news)
                    elif isinstance(news, str):
                        on_note(news)
                    else:
                        on_event(news)
        fitting.result()
    except Exception as error:  # Ray wraps a worker's error in types of its own
        raise MemvitError(f"a training worker failed: {_innermost(error)}") from error
    return ended[-1].state, ended[-1].interrupted


def _in_background(work: Callable[[], object]) -> Future[object]:
    """Not in the way of leaving the process, as a pool's thread would be."""
    future: Future[object] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="ray-train", daemon=True).start()
    return future


def worker(config: dict[str, Any]) -> None:
    """One process of the run; the first one tells how it goes."""
    import ray
    from ray.train import get_context
    from ray.train.torch import get_device

    from .run import train

    board, should_stop = config["board"], False
    is_first = get_context().get_world_rank() == 0

    def tell(news: News) -> None:
        nonlocal should_stop
        if is_first:
            should_stop = ray.get(board.tell.remote(news))

    os.chdir(config["folder"])  # Ray's own folder knows none of the recipe's paths
    # Ray knows which GPU it has assigned to this process. Without one, get_device() would still say cuda:0.
    device = get_device() if config["use_gpu"] else torch.device("cpu")
    tell(Ended(*train(config["recipe"], tell, tell, lambda: should_stop, device)))


def _innermost(error: BaseException) -> str:
    """The sentence at the bottom of a chain of errors. Of several workers', that of one which says what to do: the
    others fail since its connection has closed."""
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
