"""Shows the progress of training: a bar with the time left on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console

from memvit.training.loop import Evaluated, Resumed, StepDone, TrainingEvent
from pipelines.clock import clock
from pipelines.progress import LINE_EVERY_SECONDS
from pipelines.terminal import step_bar


class TrainProgress:
    """One bar over all steps of a run: epoch, loss, learning rate, time left."""

    def __init__(self, console: Console, epochs: int) -> None:
        self._console, self._epochs = console, epochs
        self._bar = step_bar(console)
        self._task = self._bar.add_task("training", total=None, numbers="")
        self._last_line = time.monotonic()
        self._loss: float | None = None
        self._step_seconds: float | None = None

    def __enter__(self) -> TrainProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, markup=False, soft_wrap=True)

    def update(self, event: TrainingEvent) -> None:
        """Show an event of the run."""
        if isinstance(event, Resumed):
            self._resumed(event)
        elif isinstance(event, Evaluated):
            numbers = ", ".join(f"{name} {value:.4g}" for name, value in event.metrics.items())
            self.note(f"epoch {event.epoch + 1}/{self._epochs}: {numbers}")
        elif isinstance(event, StepDone):
            self._step(event)

    def _resumed(self, event: Resumed) -> None:
        """Start the bar where the run continues."""
        is_done = event.epoch >= self._epochs
        self._bar.update(
            self._task,
            total=self._epochs * event.steps_per_epoch,
            completed=event.total_steps,
            numbers="finished" if is_done else f"epoch {event.epoch + 1}/{self._epochs}",
        )
        if is_done:
            self.note(f"this run has finished all {self._epochs} epochs")
        else:
            self.note(
                f"going on from epoch {event.epoch + 1}/{self._epochs}, step {event.step}/{event.steps_per_epoch}"
            )

    def _step(self, event: StepDone) -> None:
        self._loss = event.loss if self._loss is None else 0.9 * self._loss + 0.1 * event.loss
        seconds = event.seconds if self._step_seconds is None else 0.9 * self._step_seconds + 0.1 * event.seconds
        self._step_seconds = seconds
        total = self._epochs * event.steps_per_epoch
        numbers = f"epoch {event.epoch + 1}/{self._epochs}, loss {self._loss:.3f}, rate {event.learning_rate:.2e}"
        self._bar.update(self._task, total=total, completed=event.total_steps, numbers=numbers)
        if not self._console.is_terminal and time.monotonic() - self._last_line > LINE_EVERY_SECONDS:
            self._last_line = time.monotonic()
            left = clock((total - event.total_steps) * seconds)
            self.note(f"step {event.total_steps}/{total}: {numbers}, {seconds:.2f} s a step, {left} left")
