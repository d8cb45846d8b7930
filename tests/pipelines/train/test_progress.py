"""What a person sees of a training run."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from memvit.training.loop import Resumed
from pipelines.train.progress import TrainProgress


@pytest.mark.parametrize(
    ("event", "bar", "note"),
    [
        (Resumed(3, 0, 7, 21), "21/21", "this run has finished all 3 epochs"),
        (Resumed(1, 2, 7, 9), "9/21", "going on from epoch 2/3, step 2/7"),
    ],
)
def test_the_bar_of_a_resumed_run_starts_at_its_step(event: Resumed, bar: str, note: str) -> None:
    output = io.StringIO()
    with TrainProgress(Console(file=output, force_terminal=True, width=120, highlight=False), epochs=3) as progress:
        progress.update(event)
    assert bar in output.getvalue() and note in output.getvalue()
    assert "0/?" not in output.getvalue().splitlines()[-1]
