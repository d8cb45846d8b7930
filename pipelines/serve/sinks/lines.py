"""A file of JSON Lines as a sink: a line is on disk before the message counts as sent."""

from __future__ import annotations

import os
from pathlib import Path

from memvit.os_errors import sentence_of

from .sink import Message, SinkDown


class LinesFile:
    """A `Sender`. The file may be moved away at any time; it is made anew."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, message: Message) -> None:
        """Append a line and return once it is on disk; SinkDown if the file cannot be written."""
        try:
            with self._path.open("a+b") as file:
                end = file.seek(0, os.SEEK_END)
                if end:
                    file.seek(end - 1)
                    if file.read(1) != b"\n":  # a line that was cut off by a crash
                        file.write(b"\n")
                file.write(message.body.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SinkDown(sentence_of(error, self._path)) from error

    def close(self) -> None:
        """Do nothing: the file is closed after each line."""
