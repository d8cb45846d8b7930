"""Calls that one thread hands to another, which runs them between two steps of its own work."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Command:
    """A call, and the future that gets its result."""

    call: Callable[[], Any]
    done: Future[Any]

    def run(self) -> None:
        """Call it, unless the thread that asked has given up waiting."""
        if not self.done.set_running_or_notify_cancel():
            return
        try:
            self.done.set_result(self.call())
        except BaseException as error:
            self.done.set_exception(error)

    def refuse(self, error: Exception) -> None:
        """Raise an error in the thread that asked, instead of calling."""
        if self.done.set_running_or_notify_cancel():
            self.done.set_exception(error)


class CommandQueue:
    """Commands in the order in which they were put. The service bounds how many threads wait for one at a time."""

    def __init__(self) -> None:
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()

    def put(self, call: Callable[[], Any]) -> Future[Any]:
        """Add a call; the future gets its result."""
        done: Future[Any] = Future()
        self._commands.put(Command(call, done))
        return done

    @property
    def is_empty(self) -> bool:
        """Whether no command waits."""
        return self._commands.empty()

    def run_all(self) -> None:
        """Run the commands that wait."""
        while not self._commands.empty():
            self._commands.get().run()

    def refuse_all(self, error: Exception) -> None:
        """Refuse the commands that wait."""
        with suppress(queue.Empty):
            while True:
                self._commands.get_nowait().refuse(error)
