"""`memvit …` as processes of their own, that can be killed for real, without the seconds that importing torch takes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from tests.forks import Forked

START_SECONDS = 180
"""Until a command that imports everything, or Ray, has started on a busy machine."""


class Command:
    """A running command; its output goes to a file, and so do its messages, unless they have a file of their own."""

    started: ClassVar[list[Command]] = []

    def __init__(self, words: Sequence[object], messages: Path | None = None) -> None:
        handle, name = tempfile.mkstemp(suffix=".txt")
        os.close(handle)
        self.output = Path(name)
        self._process = Forked(_main, [str(word) for word in words], str(self.output), str(messages or self.output))
        self.started.append(self)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        """SIGKILL: it gets no chance to do anything."""
        self._process.kill()

    @classmethod
    def kill_all(cls) -> None:
        """What a test that failed has left."""
        for command in cls.started:
            if command.is_running:
                command.kill()

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def finish(self, seconds: float = 120) -> tuple[int, str]:
        """Exit code and everything printed, on one line, of a process that ends by itself."""
        self._process.join(seconds)
        if self._process.is_alive():
            self.kill()
            raise TimeoutError(self.output.read_text())
        assert self._process.exitcode is not None
        return self._process.exitcode, " ".join(self.output.read_text().split())


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Until `condition()` is true; an AssertionError if that takes too long.

    It is asked less and less often, down to 50 times a second: to ask takes time of the processor that is waited for.
    """
    until, pause = time.monotonic() + seconds, 0.002
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(pause)
        pause = min(1.3 * pause, 0.02)


def actors(kind: str) -> list[int]:
    """Processes of Ray actors of a class."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                title = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if title.startswith(f"ray::{kind}".encode()):
                found.append(int(process.name))
    return found


def _main(words: list[str], *files: str) -> None:
    for stream, name in enumerate(files, 1):
        os.dup2(os.open(name, os.O_CREAT | os.O_APPEND | os.O_WRONLY), stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, closefd=False) for stream in (1, 2))
    from pipelines.cli.app import app

    with contextlib.suppress(KeyboardInterrupt):
        app(words, prog_name="memvit")
