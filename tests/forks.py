"""Processes of tests are forked from two servers of the whole test run, without the seconds that imports take.

One has imported torch alone, the other everything that commands import; neither ever computes anything itself. They
end with the test run.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import multiprocessing.util
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from tests import shared

TORCH, EVERYTHING = "torch", "everything"
"""What the servers have imported."""
PRELOADED = [
    "pipelines.cli",
    "pipelines.serve.run",
    "pipelines.extract.run",
    "pipelines.train.evaluate",
    "pipelines.train.run",
    "memvit.store",
    "torchvision.ops",
    "av",
]
ROOT = Path(__file__).parents[1]


class Forked:
    """A process that runs `target(*arguments)`, which are pickled; it has the environment and folder of this one."""

    def __init__(self, target: Callable[..., object], *arguments: object, imported: str = EVERYTHING) -> None:
        wanted = (str(Path.cwd()), dict(os.environ), sys.path, pickle.dumps((target, arguments)))
        self._connection = _connected(imported)
        self._connection.sendall(pickle.dumps(wanted))
        self._connection.shutdown(socket.SHUT_WR)
        self._lines = self._connection.makefile("r")
        self.pid = int(self._lines.readline())
        self.exitcode: int | None = None
        """As that of a `multiprocessing.Process`: below 0 after a signal, None while it runs."""

    def join(self, seconds: float | None = None) -> None:
        """Wait until the process has ended, or for so many seconds."""
        if self.exitcode is None and select.select([self._connection], [], [], seconds)[0]:
            self.exitcode = int(self._lines.readline())
            self._lines.close()
            self._connection.close()

    def is_alive(self) -> bool:
        self.join(0)
        return self.exitcode is None

    def kill(self) -> None:
        """SIGKILL: it gets no chance to do anything."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.join()


def run_script(script: str, *words: object) -> None:
    """Run a script in a process that has imported torch and nothing that imports it; AssertionError if it fails."""
    with tempfile.NamedTemporaryFile("r") as output:
        process = Forked(_script, script, [str(word) for word in words], output.name, imported=TORCH)
        process.join()
        assert process.exitcode == 0, output.read()


def _script(script: str, words: list[str], output: str) -> None:
    file = os.open(output, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.argv = ["-c", *words]
    exec(script, {"__name__": "__main__"})


def _address(imported: str) -> str:
    return str(Path(os.environ[shared.FOLDER]) / f"{imported}.socket")


def _connected(imported: str) -> socket.socket:
    """A connection to a server of the run; the first process that wants one starts both."""
    connection = socket.socket(socket.AF_UNIX)
    with (Path(os.environ[shared.FOLDER]) / "servers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            connection.connect(_address(imported))
            return connection
        command = [sys.executable, "-m", "tests.forks"]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as starting:
            assert starting.stdout is not None
            assert starting.stdout.read() == b"listening"
    connection.connect(_address(imported))
    return connection


def _main() -> None:
    """Listen, leave the process that was started, and serve as two processes."""
    listeners = {}
    for imported in (TORCH, EVERYTHING):
        Path(_address(imported)).unlink(missing_ok=True)
        listeners[imported] = socket.socket(socket.AF_UNIX)
        listeners[imported].bind(_address(imported))
        listeners[imported].listen(100)
    print(end="listening", flush=True)
    if os.fork():
        os._exit(0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which a terminal sends to all processes of the test run
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.disable()
    importlib.import_module("torch")
    imported = EVERYTHING if os.fork() else TORCH
    if imported == EVERYTHING:
        for name in PRELOADED:
            importlib.import_module(name)
    gc.freeze()
    gc.enable()
    listener = listeners.pop(imported)
    for other in listeners.values():
        other.close()
    while Path(_address(imported)).exists() and _is_there(int(os.environ[shared.PROCESS])):
        if select.select([listener], [], [], 0.3)[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _keep(connection)
            connection.close()


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _keep(connection: socket.socket) -> None:
    """Fork the process that is wanted, and tell its number and then its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection.makefile("rb") as request:
        folder, environment, path, wanted = pickle.load(request)
    pid = os.fork()
    if pid == 0:
        connection.close()
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = path
        _run(wanted)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(f"{pid}\n".encode())
        connection.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n".encode())
    os._exit(0)


def _run(wanted: bytes) -> None:
    """As a process of `multiprocessing` begins and ends."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = 1
    try:
        target: Callable[..., object]
        target, arguments = pickle.loads(wanted)
        target(*arguments)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
        multiprocessing.util._exit_function()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(ValueError, OSError):
                stream.flush()
        os._exit(code)


if __name__ == "__main__":
    _main()
