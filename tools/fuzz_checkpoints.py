"""Hostile checkpoints, made from a seed, against the product: every one must be refused in one sentence, or loaded.

python tools/fuzz_checkpoints.py --out /tmp/fuzz --count 220

Each file is given to `create_model`, to what `memvit info` does, and to what `memvit watch` does before it opens a
video, in a process of its own with a limit of time and memory. Prints a table, and exits with 1 after any traceback,
hang, file that should have been refused, or peak of memory beyond the limit.
"""

from __future__ import annotations

import argparse
import mmap
import os
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from memvit.engine.settings import ModelSettings
from memvit.models import CheckpointError, create_model
from memvit.types import MemvitError
from pipelines.info import describe_path, info_text
from tools.hostile_checkpoints import NAME, Case, make_cases

ADDRESS_SPACE_BYTES = 2**32
PEAK_BYTES = 2**29
"""The limit of resident memory beyond what the process had before."""
LOADED, REFUSED = 0, 10


@dataclass(frozen=True)
class Outcome:
    """The outcome for a file."""

    case: Case
    kind: str
    """done, refused or failed."""
    why: str
    peak_bytes: int
    seconds: float


def try_file(path: Path) -> None:
    """Read a checkpoint in every way that the product has; the first error is raised after all have been tried."""
    ways: list[Callable[[], object]] = [
        lambda: info_text(describe_path(str(path))),
        lambda: create_model(NAME, checkpoint=path),
        lambda: ModelSettings(model=NAME, checkpoint=path, device="cpu", boxes="full").build(),
    ]
    if path.suffix == ".safetensors":
        ways.append(lambda: ModelSettings(checkpoint=path, device="cpu", boxes="full").build())
    errors = []
    for place, way in enumerate(ways):
        try:
            way()
        except (MemvitError, CheckpointError) as error:
            if "\n" in str(error):
                raise RuntimeError("an error message of several lines") from error
            # info says what a file holds; whether it fits a model is known to the others.
            errors += [error] if place else []
    if errors:
        raise errors[0]


def run(case: Case, timeout_seconds: float, log: Path) -> Outcome:
    """Read one file in a process of its own."""
    began, resident_at_start = time.monotonic(), mmap.mmap(-1, 8)
    child = os.fork()
    if child == 0:
        # A forked process has fewer pages than its parent: it says itself what it begins with.
        resident_at_start.write(_memory(resident=True).to_bytes(8, "little"))
        _in_child(case, timeout_seconds, log)
    _, status, usage = os.wait4(child, 0)
    peak = usage.ru_maxrss * 1024 - int.from_bytes(resident_at_start[:], "little")
    seconds = time.monotonic() - began
    code = os.waitstatus_to_exitcode(status)
    text = log.read_text(errors="replace").strip().splitlines()
    kind, why = {LOADED: ("done", ""), REFUSED: ("refused", text[-1] if text else "")}.get(
        code, ("failed", "hangs" if code == -signal.SIGALRM else text[-1] if text else f"exit {code}")
    )
    if kind == "done" and case.must_be_refused:
        kind, why = "failed", "loaded, and should have been refused"
    if peak > PEAK_BYTES:
        kind, why = "failed", f"takes {peak / 1e9:.1f} GB"
    return Outcome(case, kind, why, peak, seconds)


def _in_child(case: Case, timeout_seconds: float, log: Path) -> None:
    sys.stdout = sys.stderr = log.open("w")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(max(1, int(timeout_seconds)))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_memory(resident=False) + ADDRESS_SPACE_BYTES, hard))
    code = LOADED
    try:
        try_file(case.path)
    except (MemvitError, CheckpointError) as error:
        print(error)
        code = REFUSED
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)


def _memory(*, resident: bool) -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[int(resident)])
    return pages * resource.getpagesize()


def table(outcomes: list[Outcome]) -> str:
    """Counts by group, with the highest peak and the longest time."""
    lines = [f"{'group':28} {'done':>5} {'refused':>8} {'failed':>7} {'peak MB':>8} {'seconds':>8}"]
    groups = sorted({outcome.case.group for outcome in outcomes})
    for group in [*groups, "all"]:
        rows = [outcome for outcome in outcomes if group in (outcome.case.group, "all")]
        kinds = Counter(outcome.kind for outcome in rows)
        peak, longest = max(row.peak_bytes for row in rows) / 1e6, max(row.seconds for row in rows)
        lines.append(
            f"{group:28} {kinds['done']:5} {kinds['refused']:8} {kinds['failed']:7} {peak:8.0f} {longest:8.1f}"
        )
    return "\n".join(lines)


def main() -> int:
    """Make the files, try them all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=220, help="at least so many files")
    parser.add_argument("--bomb-gb", type=float, default=8.0, help="what the zip bombs unpack to")
    parser.add_argument("--timeout", type=float, default=20.0, help="seconds for one file")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    cases = make_cases(options.out, options.seed, options.count, bomb_bytes=int(options.bomb_gb * 1e9))
    outcomes = [run(case, options.timeout, options.out / "log.txt") for case in cases]
    for outcome in outcomes:
        if outcome.kind == "failed":
            print(f"failed: {outcome.case.name}: {outcome.why[:160]}")
    print(table(outcomes))
    return int(any(outcome.kind == "failed" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
