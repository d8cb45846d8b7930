"""Work that may kill its process runs in a process of its own: the job survives it and learns how it died.

Python objects are pickled through pipes. The child is a new interpreter, so it imports no torch and shares no memory
with the job. It ends with the job, because its standard input is closed when the job ends.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import IO, Any, TypeVar

Item = TypeVar("Item")
PROGRAM = "from pipelines.extract.apart import serve; serve()"


class ProcessDied(Exception):
    """The process ended before its work was complete; the message says how."""


def in_own_process(make: Callable[[], Iterator[Item]]) -> Iterator[Item]:
    """Yield the items of `make()`, which runs in another process; an exception that it raises is raised here.

    Raises ProcessDied if that process ended before the last item.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment) as child:
        assert child.stdin is not None and child.stdout is not None
        try:
            _send(child, make)
            while (found := _receive(child))[0] != "end":
                if found[0] == "error":
                    raise found[1]
                yield found[1]
        finally:
            child.kill()
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()


def _send(child: subprocess.Popen[bytes], content: object) -> None:
    assert child.stdin is not None
    try:
        pickle.dump(content, child.stdin)
        child.stdin.flush()
    except BrokenPipeError as error:
        raise ProcessDied(_end_of(child)) from error


def _receive(child: subprocess.Popen[bytes]) -> tuple[str, Any]:
    assert child.stdout is not None
    try:
        found: tuple[str, Any] = pickle.load(child.stdout)
        return found
    except (EOFError, pickle.UnpicklingError) as error:
        raise ProcessDied(_end_of(child)) from error


def _end_of(child: subprocess.Popen[bytes]) -> str:
    code = child.wait()
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def serve() -> None:
    """Run in the child: read one callable from standard input and write the items that it yields."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What a library prints goes to standard error, so that it cannot corrupt the stream of items.
    make: Callable[[], Iterator[object]] = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_exit_with_the_job, daemon=True).start()
    try:
        for item in make():
            _write(out, "item", item)
        _write(out, "end", None)
    except BrokenPipeError:
        return
    except Exception as error:
        _write(out, "error", error)


def _write(out: IO[bytes], kind: str, value: object) -> None:
    pickle.dump((kind, value), out, protocol=pickle.HIGHEST_PROTOCOL)
    out.flush()


def _exit_with_the_job() -> None:
    """Read standard input, which never holds anything more, until it is closed."""
    while os.read(0, 4096):
        pass
    os._exit(1)
