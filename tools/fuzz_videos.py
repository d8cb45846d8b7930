"""Give hostile videos to `memvit watch` and `memvit extract`, and check that both answer with results or a sentence.

    python -m tools.fuzz_videos [--seed 0] [--count 300] [--only WORD] [--out report.json] [--keep FOLDER]

Makes damaged copies of small videos of many codecs and containers (`tools/fuzz_corpus.py`) and pathological files
(`tools/fuzz_oddities.py`). Worker processes with limits of memory and time read each by both commands' code. Prints
the outcomes. The exit code is 1 if a file gives a traceback, hangs, takes more than 1.5 GB of memory beyond the
model's, or gives other clips in `watch` than in `extract`.
"""

from __future__ import annotations

import argparse
import json
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.fuzz_corpus import good_videos, mutated_videos
from tools.fuzz_oddities import odd_videos

MAX_MEMORY_MIB = 1536
TIMEOUT_SECONDS = 60.0
START_SECONDS = 180.0
FILES_PER_WORKER = 60
"""After so many a worker is replaced: memory that one file leaves must not count for another."""
COMMANDS = ("watch", "extract")


@dataclass(frozen=True)
class Outcome:
    """The outcome of a command for a file."""

    file: str
    command: str
    state: str
    """done; refused: a sentence and no clip; failed: a sentence after some clips; traceback, hang, memory."""
    clips: int = 0
    about: str = ""
    """The sentence, or a note."""
    memory_mib: float = 0.0
    """Peak of resident memory beyond what the process had before."""
    seconds: float = 0.0

    @property
    def is_bad(self) -> bool:
        """Whether the product is wrong: a traceback, a hang, or too much memory."""
        return self.state in ("traceback", "hang", "memory") or self.memory_mib > MAX_MEMORY_MIB


class Worker:
    """A process that reads one file after the other."""

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 closed by close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.fuzz_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            bufsize=1,
        )
        self.files = 0
        self._answer(START_SECONDS)  # the first line says that the model is loaded

    def run(self, path: Path, command: str) -> Outcome:
        """Run a command on a file; the process is dead after a hang or a crash."""
        assert self._process.stdin is not None
        self.files += 1
        began = time.monotonic()
        self._process.stdin.write(json.dumps({"path": str(path), "command": command}) + "\n")
        line = self._answer(TIMEOUT_SECONDS)
        if line:
            return Outcome(path.name, command, seconds=time.monotonic() - began, **json.loads(line))
        is_hung = self._process.poll() is None and time.monotonic() - began >= TIMEOUT_SECONDS
        self.close()
        self._errors.seek(0)
        words = self._errors.read().strip().splitlines()
        about = f"exit code {self._process.returncode}: {words[-1] if words else ''}"
        seconds = time.monotonic() - began
        return Outcome(path.name, command, "hang" if is_hung else "traceback", about=about, seconds=seconds)

    @property
    def must_be_replaced(self) -> bool:
        """Whether the process has ended, or has read enough files."""
        return self._process.poll() is not None or self.files >= FILES_PER_WORKER

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _answer(self, seconds: float) -> str:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            return self._process.stdout.readline() if selector.select(seconds) else ""


def outcomes(paths: Iterable[Path]) -> Iterator[Outcome]:
    """Run both commands on each file."""
    worker: Worker | None = None
    try:
        for path in paths:
            for command in COMMANDS:
                if worker is None or worker.must_be_replaced:
                    if worker is not None:
                        worker.close()
                    worker = Worker()
                outcome = worker.run(path, command)
                if outcome.memory_mib > MAX_MEMORY_MIB / 3:  # the allocator may keep it
                    worker.close()
                yield outcome
    finally:
        if worker is not None:
            worker.close()


def corpus(folder: Path, seed: int, count: int, only: str = "") -> list[Path]:
    """The files whose names hold a word."""
    good = good_videos(folder / "good")
    paths = [*good, *mutated_videos(folder / "damaged", good, seed, count)]
    return [path for path in paths if only in path.name] + odd_videos(folder / "odd", only)


def table(found: Sequence[Outcome]) -> str:
    """Done, refused, failed …, a line a command; then every bad outcome, then the files that took most memory."""
    states = ("done", "refused", "failed", "traceback", "hang", "memory")
    lines = ["".join(f"{word:>11}" for word in ("", *states, "peak MiB", "p95 s"))]
    for command in COMMANDS:
        own = [outcome for outcome in found if outcome.command == command]
        counts = [sum(outcome.state == state for outcome in own) for state in states]
        peak = max((outcome.memory_mib for outcome in own), default=0.0)
        slow = sorted(outcome.seconds for outcome in own)[int(0.95 * len(own))] if own else 0.0
        lines.append(f"{command:>11}" + "".join(f"{count:11}" for count in counts) + f"{peak:11.0f}{slow:11.2f}")
    lines += [f"{o.state}: {o.command} {o.file}: {o.about} ({o.memory_mib:.0f} MiB)" for o in found if o.is_bad]
    lines += [f"different clips: {name}: {seen}" for name, seen in different(found).items()]
    largest = sorted(found, key=lambda outcome: -outcome.memory_mib)[:5]
    lines += [f"{o.memory_mib:6.0f} MiB: {o.command} {o.file}: {o.state}" for o in largest]
    return "\n".join(lines)


def different(found: Sequence[Outcome]) -> dict[str, str]:
    """Files of which `watch` and `extract` made other clips, or that only one of them could read to the end."""
    of_file: dict[str, list[Outcome]] = {}
    for outcome in found:
        of_file.setdefault(outcome.file, []).append(outcome)
    return {
        name: ", ".join(f"{outcome.command} {outcome.state} {outcome.clips}" for outcome in both)
        for name, both in of_file.items()
        if len({outcome.clips if outcome.state == "done" else None for outcome in both}) > 1
    }


def main() -> None:
    """Make the files, read them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=300, help="damaged files")
    parser.add_argument("--only", default="", help="files whose names hold this")
    parser.add_argument("--out", type=Path, help="write every outcome as JSON")
    parser.add_argument("--keep", type=Path, help="keep the files in this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        paths = corpus(options.keep or Path(temporary), options.seed, options.count, options.only)
        found: list[Outcome] = []
        for outcome in outcomes(paths):
            found.append(outcome)
            if outcome.is_bad:
                print(f"{outcome.state}: {outcome.command} {outcome.file}: {outcome.about}", flush=True)
    print(f"{len(paths)} files\n{table(found)}")
    if options.out is not None:
        options.out.write_text(json.dumps([asdict(outcome) for outcome in found], indent=1) + "\n")
    sys.exit(any(outcome.is_bad for outcome in found) or bool(different(found)))


if __name__ == "__main__":
    main()
