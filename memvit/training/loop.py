"""The training loop of every task. It knows steps, schedules, checkpoints and logs, but nothing of the data."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from memvit.datasets.sampling import mixed_seed
from memvit.training.log import RunLog
from memvit.training.optimizer import build_optimizer, learning_rate
from memvit.training.recipe import Recipe
from memvit.training.recipe_file import recipe_yaml
from memvit.training.run_state import RunState, check_same_recipe, last_run, save_run
from memvit.training.world import World
from memvit.types import MemvitError


class TrainingTask(Protocol):
    """What is trained: a model with its data, its loss and its evaluation."""

    model: nn.Module

    @property
    def batches_per_epoch(self) -> int:
        """How many batches `batches` yields in an epoch."""

    def batches(self, epoch: int, first_batch: int) -> Iterator[Any]:
        """This process's batches of an epoch from `first_batch` on. They depend on these two numbers alone."""

    def loss(self, network: nn.Module, batch: Any) -> tuple[Tensor, float]:
        """The loss summed over the items of a batch (samples or boxes), and the number of items.

        `network` is the model, wrapped for distributed training if several processes train.
        """

    def describe(self, batch: Any) -> list[str]:
        """Names of the samples in a batch."""

    def evaluate(self) -> dict[str, float]:
        """Metrics on held-out data, the same in every process."""

    def state_dict(self) -> dict[str, Any]:
        """The state that this process carries from batch to batch, on the CPU, for a checkpoint."""

    def load_state_dicts(self, states: list[dict[str, Any]]) -> None:
        """Restore this process's part of the states of all processes, of which there may have been more or fewer."""


@dataclass(frozen=True)
class StepDone:
    """One step of the optimizer is done."""

    epoch: int
    step: int
    steps_per_epoch: int
    total_steps: int
    loss: float
    learning_rate: float
    gradient_norm: float
    seconds: float
    """Duration of this step, including the time spent waiting for data."""
    data_seconds: float
    """How many of these seconds were spent waiting for data."""


@dataclass(frozen=True)
class Evaluated:
    """The model was evaluated on held-out data."""

    epoch: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Started:
    """A new run has started."""


@dataclass(frozen=True)
class Resumed:
    """The run continues from a checkpoint, or was found to be finished."""

    epoch: int
    step: int
    steps_per_epoch: int
    total_steps: int


TrainingEvent = StepDone | Evaluated | Started | Resumed


class Trainer:
    """Runs a recipe on a task in a folder. The same call again continues where the last one ended, however it ended."""

    def __init__(self, task: TrainingTask, recipe: Recipe, *, device: torch.device, world: World | None = None) -> None:
        self.task, self.recipe, self.device = task, recipe, device
        self.world = world or World.join()
        parts, batches = recipe.run.accumulate, task.batches_per_epoch
        if parts > batches:
            raise MemvitError(
                f"run.accumulate={parts} is more than the {batches} batches of an epoch; lower run.accumulate or "
                "run.batch_size"
            )
        self.folder = Path(recipe.run.out)
        self.recipe_text = recipe_yaml(recipe)
        task.model.to(device)
        backbone = getattr(task.model, "backbone", None)
        if backbone is not None:
            backbone.checkpoint_blocks = recipe.run.activation_checkpointing
        self.optimizer = build_optimizer(task.model, recipe.optimizer)
        self.state = RunState()
        self.network: nn.Module = task.model
        if recipe.run.compile:
            self.network = torch.compile(self.network)  # type: ignore[assignment]
        if self.world.size > 1:
            ids = [device] if device.type == "cuda" else None
            # The first clips of a stream read no memory, so some parameters have no gradient in some steps.
            self.network = DistributedDataParallel(self.network, device_ids=ids, find_unused_parameters=True)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of the optimizer in an epoch."""
        return self.task.batches_per_epoch // self.recipe.run.accumulate

    def run(
        self,
        on_event: Callable[[TrainingEvent], None] = lambda event: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> RunState:
        """Train to the end of the recipe, or until `should_stop` is true after a step.

        MemvitError if the loss is not finite (the batch's identity is saved), a run of another recipe is in the
        folder, or a checkpoint cannot be written.
        """
        if self._resume():
            state = self.state
            on_event(Resumed(state.epoch, state.step, self.steps_per_epoch, state.total_steps))
        else:
            on_event(Started())
        schedule, every = self.recipe.schedule, self.recipe.run.evaluate_every_epochs
        if self.world.is_first:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "recipe.yaml").write_text(self.recipe_text)
        with RunLog(self.folder, from_step=self.state.total_steps) if self.world.is_first else nullcontext() as log:
            while self.state.epoch < schedule.epochs:
                if not self._epoch(log, on_event, should_stop):
                    return self.state
                is_last = self.state.epoch + 1 == schedule.epochs
                if is_last or (every and (self.state.epoch + 1) % every == 0):
                    self.state.metrics = self.task.evaluate()
                    on_event(Evaluated(self.state.epoch, self.state.metrics))
                    if log is not None:
                        log.write(self.state.total_steps, epoch=self.state.epoch, **self.state.metrics)
                self.state.epoch, self.state.step = self.state.epoch + 1, 0
                self._save()
        return self.state

    def _epoch(
        self, log: RunLog | None, on_event: Callable[[TrainingEvent], None], should_stop: Callable[[], bool]
    ) -> bool:
        """Train the rest of an epoch. False if `should_stop` was true before its end."""
        run = self.recipe.run
        batches = self.task.batches(self.state.epoch, self.state.step * run.accumulate)
        while self.state.step < self.steps_per_epoch:
            done = self._step(batches)
            on_event(done)
            if log is not None:
                log.write(done.total_steps, **{k: v for k, v in asdict(done).items() if k != "total_steps"})
            is_due = run.checkpoint_every_steps and done.total_steps % run.checkpoint_every_steps == 0
            stop = self.world.sum_floats(float(should_stop()))[0] > 0
            if stop or (is_due and self.state.step < self.steps_per_epoch):
                self._save()
            if stop:
                return False
        return True

    def _step(self, batches: Iterator[Any]) -> StepDone:
        started, waited = time.perf_counter(), 0.0
        run, epoch, step = self.recipe.run, self.state.epoch, self.state.step
        rate = learning_rate(
            epoch + step / self.steps_per_epoch, self.recipe.optimizer.learning_rate, self.recipe.schedule
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.task.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for part in range(run.accumulate):
            waiting = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - waiting
            # The seed of dropout and the like follows from the place in the run, so a resumed run needs no saved random
            # states. It is set after the batch is read, because a starting DataLoader also takes a random number.
            torch.manual_seed(mixed_seed(run.seed, epoch, step, part, self.world.rank))
            is_last = part + 1 == run.accumulate
            skips_sync = isinstance(self.network, DistributedDataParallel) and not is_last
            with self.network.no_sync() if skips_sync else nullcontext():  # type: ignore[operator]
                total += self._backward(batch) / run.accumulate
        norm = self._clip()
        self.optimizer.step()
        self.state.step += 1
        self.state.total_steps += 1
        seconds = time.perf_counter() - started
        return StepDone(epoch, step, self.steps_per_epoch, self.state.total_steps, total, rate, norm, seconds, waited)

    def _backward(self, batch: Any) -> float:
        is_low = self.recipe.run.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16) if is_low else nullcontext():
            loss_sum, count = self.task.loss(self.network, batch)
        total_sum, total_count = self.world.sum_floats(float(loss_sum.detach()), count)
        if not math.isfinite(total_sum):
            raise self._not_finite(batch, float(loss_sum.detach()))
        # DDP averages over processes, but the gradient must be that of the mean over all items of all processes.
        (loss_sum * (self.world.size / max(total_count, 1.0) / self.recipe.run.accumulate)).backward()
        return total_sum / max(total_count, 1.0)

    def _clip(self) -> float:
        parameters = [parameter for parameter in self.task.model.parameters() if parameter.grad is not None]
        limit = self.recipe.optimizer.clip_norm
        norm = nn.utils.clip_grad_norm_(parameters, limit if limit is not None else math.inf)
        return float(norm)

    def _not_finite(self, batch: Any, loss: float) -> MemvitError:
        path = self.folder / f"not-finite-rank{self.world.rank}.json"
        place = {"epoch": self.state.epoch, "step": self.state.step, "loss": str(loss)}
        path.write_text(json.dumps({**place, "samples": self.task.describe(batch)}, indent=1))
        return MemvitError(
            f"the loss is not finite in epoch {self.state.epoch}, step {self.state.step}; the samples of this batch "
            f"are in {path}; look at them, or begin a new run.out with a lower learning rate"
        )

    def _resume(self) -> bool:
        content = last_run(self.folder)
        if content is None:
            return False
        check_same_recipe(content["recipe"], self.recipe, self.folder)
        self.task.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.task.load_state_dicts(content["tasks"])
        self.state = RunState(**content["state"])
        return True

    def _save(self) -> None:
        tasks = self.world.gather(self.task.state_dict())
        if self.world.is_first:
            rest = {"optimizer": self.optimizer.state_dict(), "tasks": tasks}
            model = self.task.model.state_dict()
            save_run(self.folder, self.state, self.recipe_text, model, rest, self.recipe.run.keep_checkpoints)
        self.world.barrier()
