"""The process in which `tools/fuzz_videos.py` has files read: `memvit watch` and `memvit extract` with the tiny model.

Reads a JSON object a line (`path`, `command`), answers with one; writes `{}` once the model is loaded.
"""

from __future__ import annotations

import ctypes
import gc
import json
import resource
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import torch

from memvit.boxes import BoxSource
from memvit.engine.engine import Engine
from memvit.engine.settings import ModelSettings
from memvit.labels import Labels
from memvit.types import MemvitError
from pipelines.extract.inputs import find_videos
from pipelines.extract.resume import ResumePolicy
from pipelines.extract.run import Setup, extract
from pipelines.extract.tasks import ExtractOptions
from pipelines.watch.run import WatchOptions, watch

LIMIT_MIB = 2200
"""Beyond the model's. An allocation that would go further fails."""
UNEXPECTED = ("unexpectedly", "the model cannot answer")
"""Words of sentences that the product makes of unexpected errors."""


class Built(ModelSettings):
    """Settings whose model has been made already."""

    made: tuple[Engine, Labels, BoxSource | None]

    def build(self) -> tuple[Engine, Labels, BoxSource | None]:
        """The engine, labels and boxes that were made before."""
        return Built.made


def by_watch(path: Path, out: Path, settings: Built) -> tuple[int, str | None, str]:
    """The number of clips, why it failed, and a note."""
    engine, labels, boxes = settings.build()
    summary = watch([str(path)], engine, boxes, labels, WatchOptions(out=out))
    (stream,) = summary.streams
    engine.forget(stream.stream_id)
    return stream.clips, stream.failure, stream.note


def by_extract(path: Path, out: Path, settings: Built) -> tuple[int, str | None, str]:
    """The number of clips, why it failed, and a note."""
    setup = Setup(settings, ExtractOptions(), None)
    summary = extract(find_videos([str(path)]), str(out / "archive.zarr"), setup, ResumePolicy())
    for state in summary.failed.values():
        return summary.clips, state.reason, state.note
    for state in summary.done.values():
        return state.clips, None, state.note
    return 0, "no state was written", ""


def outcome(path: Path, command: str, settings: Built) -> dict[str, Any]:
    """The fields of `tools.fuzz_videos.Outcome` for a file."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = memory_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    found = state_of(path, command, settings)
    return found | {"memory_mib": memory_mib("VmHWM") - before}


def state_of(path: Path, command: str, settings: Built) -> dict[str, Any]:
    """The state, the number of clips, and the sentence or note."""
    with tempfile.TemporaryDirectory() as out:
        try:
            clips, reason, note = {"watch": by_watch, "extract": by_extract}[command](path, Path(out), settings)
        except MemvitError as error:
            clips, reason, note = 0, str(error), ""
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            is_memory = isinstance(error, MemoryError) or "memory" in str(error)
            about = f"{error!r} in {place.filename}:{place.lineno}"
            return {"state": "memory" if is_memory else "traceback", "about": about}
    state = "done" if reason is None else "failed" if clips else "refused"
    if reason and any(words in reason for words in UNEXPECTED):
        state = "memory" if "memory" in reason.lower() else "traceback"
    return {"state": state, "clips": clips, "about": reason or note}


def tiny_model() -> Built:
    """The smallest model, made once."""
    Built.made = ModelSettings(model="memvit_tiny_8x4", random_weights=True, boxes="full").build()
    return Built(model="memvit_tiny_8x4", random_weights=True, boxes="full")


def memory_mib(field: str) -> float:
    """VmRSS or VmHWM of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def main() -> None:
    """Answer until standard input ends."""
    torch.set_num_threads(1)
    settings = tiny_model()
    answers, sys.stdout = sys.stdout, sys.stderr
    own = memory_mib("VmData")
    resource.setrlimit(resource.RLIMIT_DATA, (int((own + LIMIT_MIB) * 2**20),) * 2)
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(outcome(Path(order["path"]), order["command"], settings)), file=answers, flush=True)


if __name__ == "__main__":
    main()
