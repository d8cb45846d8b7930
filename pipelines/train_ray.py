"""Training on several GPUs or machines through Ray Train: each worker is an ordinary process of the one loop.

Data-parallel: every worker has its share of each batch (of the lanes, for actions), gradients are averaged, and what is
learned is what one process with the whole batch learns. `run.out` must be a folder that all machines see.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memvit.training.loop import Evaluated, Event
from memvit.training.recipe import Recipe, load_recipe, recipe_yaml
from memvit.types import MemvitError


def train_on_ray(recipe: Recipe, workers: int, *, use_gpu: bool, address: str | None) -> None:
    """Run a recipe on `workers` processes of a Ray cluster, or of this machine without an `address`.

    MemvitError if Ray is not installed or a worker failed; the same call again goes on from the last checkpoint.
    """
    try:
        import ray
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer
    except ImportError as error:
        raise MemvitError("several workers need Ray: pip install 'memvit[ray]'") from error
    out = Path(recipe.run.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    text = out / "recipe.yaml"
    text.write_text(recipe_yaml(recipe))
    started_here = not ray.is_initialized()
    if started_here:
        ray.init(address=address, log_to_driver=True, include_dashboard=False)
    try:
        TorchTrainer(
            _worker,
            train_loop_config={"recipe": str(text), "out": str(out)},
            torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo"),
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=use_gpu),
            run_config=RunConfig(storage_path=str(out / "ray"), failure_config=FailureConfig(max_failures=0)),
        ).fit()
    except Exception as error:  # Ray wraps a worker's error in types of its own
        raise MemvitError(f"a training worker failed: {_innermost(error)}") from error
    finally:
        if started_here:
            ray.shutdown()


def _worker(config: dict[str, Any]) -> None:
    """One process of the run."""
    from .train import train

    recipe = load_recipe(config["recipe"], [f"run.out={config['out']}"])

    def report(event: Event) -> None:
        if isinstance(event, Evaluated):
            print(f"epoch {event.epoch + 1}: {event.metrics}", flush=True)  # noqa: T201 - Ray shows it to the driver

    train(recipe, report, lambda note: None)


def _innermost(error: BaseException) -> str:
    """The sentence at the bottom of a chain of errors."""
    causes = [error]
    while (inner := getattr(causes[-1], "cause", None) or causes[-1].__cause__) is not None and inner not in causes:
        causes.append(inner)
    worker = getattr(error, "worker_failures", None)
    if worker:
        return _innermost(next(iter(worker.values())))
    return str(causes[-1]).strip().splitlines()[-1]
