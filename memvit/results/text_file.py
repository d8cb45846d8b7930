"""A text file in which every line is on disk as soon as it is written."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from memvit.os_errors import sentence_of
from memvit.types import MemvitError


class TextFileWriter:
    """Writes lines of UTF-8 text; the base of the writers of JSON Lines and of AVA's CSV."""

    def __init__(self, path: str | Path) -> None:
        """MemvitError if the file cannot be created."""
        try:
            self._file: TextIO = Path(path).open("w", encoding="utf-8")  # noqa: SIM115 closed by close()
        except OSError as error:
            raise MemvitError(sentence_of(error, path)) from error
        self.path = Path(path)

    def line(self, text: str) -> None:
        """Write a line and flush it. MemvitError if the disk takes no more."""
        try:
            self._file.write(text + "\n")
            self._file.flush()
        except OSError as error:
            raise MemvitError(f"{sentence_of(error, self.path)}; what was written is kept") from error

    def close(self) -> None:
        """Close the file. It is safe to call this twice."""
        with suppress(OSError):  # `line` flushes every line and reports a failure itself, so nothing is lost here
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
