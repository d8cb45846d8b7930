"""Logs a run as JSON Lines and TensorBoard curves. A resumed run continues both without gaps or repetition."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from memvit.json_text import json_text


class RunLog:
    """Writes JSON objects, each with the `total_steps` it belongs to, and the numbers among them as curves."""

    def __init__(self, folder: Path, *, from_step: int) -> None:
        """Remove what an interrupted run logged after step `from_step`, because these steps will be repeated."""
        from torch.utils.tensorboard import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "log.jsonl"
        lines = self.path.read_text("utf-8").splitlines() if self.path.exists() else []
        kept = [line for line in lines if _step(line) is not None and _step(line) <= from_step]  # type: ignore[operator]
        self.path.write_text("".join(f"{line}\n" for line in kept), "utf-8")
        self._file = self.path.open("a", encoding="utf-8")
        self._curves = SummaryWriter(str(folder / "tensorboard"), purge_step=from_step + 1 if from_step else None)

    def write(self, total_steps: int, **values: Any) -> None:
        """Log a line. Only floats become curves; all values are in the JSON."""
        self._file.write(json_text({"total_steps": total_steps, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            if isinstance(value, float):
                self._curves.add_scalar(name, value, total_steps)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        self._curves.close()


def _step(line: str) -> int | None:
    try:
        step = json.loads(line)["total_steps"]
    except (ValueError, KeyError, TypeError):  # a line cut off by a kill
        return None
    return step if isinstance(step, int) else None
