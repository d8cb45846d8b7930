"""Opens the files of an archive's videos, and no other files.

A file counts as that of a video if its content has the fingerprint that the archive holds. So a path that was changed,
or a link that leads elsewhere, opens nothing else. What was checked is what is read: the same open file.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from memvit.store import Fingerprint, VideoState, fingerprint
from memvit.store.fingerprint import fingerprint_of
from memvit.types import MemvitError
from memvit.video.sources.location import is_url

MAX_REMEMBERED = 4096
"""So many files are not read again to find out whether they are still the same."""
GONE = "the file of this film is not there any more: it was moved or deleted"
CHANGED = "the file of this film has changed since it was extracted"
PROBLEMS = {
    errno.ENOENT: GONE,
    errno.ENOTDIR: GONE,
    errno.EACCES: "the file of this film may not be read by this program",
    errno.EPERM: "the file of this film may not be read by this program",
}


class FilmMissing(MemvitError):
    """The file of a video cannot be shown; the message says why."""


@dataclass(frozen=True)
class FilmFile:
    """The open file of a video, or a folder of images."""

    path: str
    """A path that leads to the open file, whatever happens to its name meanwhile; or that of the folder."""
    descriptor: int | None
    """The open file; None for a folder."""
    status: os.stat_result

    def close(self) -> None:
        """Close the file."""
        if self.descriptor is not None:
            os.close(self.descriptor)


def film_name(state: VideoState) -> str:
    """The name that is shown: that of the file, with its suffix."""
    return state.location.rstrip("/").rpartition("/")[2] or state.id


class FilmFiles:
    """Opens films, and remembers which files were checked."""

    def __init__(self) -> None:
        self._checked: dict[tuple[int, ...], Fingerprint] = {}

    @contextmanager
    def opened(self, state: VideoState) -> Iterator[FilmFile]:
        """The file of a video, open as long as the block lasts. FilmMissing if it is not there, or is another one."""
        film = self.open(state)
        try:
            yield film
        finally:
            film.close()

    def why_missing(self, state: VideoState) -> str | None:
        """Why the film cannot be shown; None if it can."""
        try:
            self.open(state).close()
            return None
        except FilmMissing as error:
            return str(error)

    def open(self, state: VideoState) -> FilmFile:
        """The file of a video, to be closed by the caller. FilmMissing as `opened`."""
        if is_url(state.location):
            raise FilmMissing("this film is at an address; only films in files are shown here")
        if state.fingerprint is None:
            raise FilmMissing("the archive does not tell what the file of this film was like; extract it again")
        descriptor: int | None = None
        try:
            # Without blocking, because opening a pipe would wait for a writer.
            descriptor = os.open(state.location, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                os.close(descriptor)
                descriptor = None
                _check_folder(state.location, state.fingerprint)
                return FilmFile(state.location, None, status)
            if not stat.S_ISREG(status.st_mode) or not self._is_film(descriptor, status, state.fingerprint):
                raise FilmMissing(CHANGED)
            return FilmFile(f"/dev/fd/{descriptor}", descriptor, status)
        except (OSError, ValueError, FilmMissing) as error:
            if descriptor is not None:
                os.close(descriptor)
            if isinstance(error, FilmMissing):
                raise
            number = error.errno if isinstance(error, OSError) else None
            raise FilmMissing(PROBLEMS.get(number or 0, "the file of this film cannot be opened")) from None

    def _is_film(self, descriptor: int, status: os.stat_result, expected: Fingerprint) -> bool:
        if status.st_size != expected.size:
            return False
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        found = self._checked.get(identity)
        if found is None:
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                found = fingerprint_of(file, status)
            if len(self._checked) >= MAX_REMEMBERED:
                self._checked.clear()
            self._checked[identity] = found
        return found.is_same(expected)


def _check_folder(folder: str, expected: Fingerprint) -> None:
    if any(entry.is_symlink() for entry in os.scandir(folder)):
        raise FilmMissing("the folder of this film holds links; only images in the folder itself are shown")
    found = fingerprint(str(Path(folder)))
    if found is None or not found.is_same(expected):
        raise FilmMissing(CHANGED.replace("file", "folder"))
