"""Tells whether a file has changed: by its size and a digest of samples of its content."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from memvit.video.sources.location import is_url

SAMPLES = 16
"""Number of samples of a file that are read."""
SAMPLE_BYTES = 1 << 16
"""Size of a sample."""


@dataclass(frozen=True)
class Fingerprint:
    """Identifies the content of a file, or of a folder of frames."""

    size: int
    """Size in bytes; of a folder, the sum of its files."""
    modified_ns: int
    """Time of the last modification; of a folder, of its last modified file."""
    digest: str
    """Digest of samples all over the file, with its first and last bytes; of a folder, of all names and sizes."""

    def is_same(self, other: Fingerprint) -> bool:
        """Whether size and digest are equal; the time of the last modification may differ, as it does in a copy."""
        return (self.size, self.digest) == (other.size, other.digest)


def fingerprint(location: str) -> Fingerprint | None:
    """Return the fingerprint of a file or folder; None for a URL. Raises OSError if the file cannot be read."""
    if is_url(location):
        return None
    path = Path(location)
    if path.is_dir():
        return _of_folder(path)
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "this is not a file", location)
    with path.open("rb") as file:
        return fingerprint_of(file, status)


def fingerprint_of(file: BinaryIO, status: os.stat_result) -> Fingerprint:
    """Return the fingerprint of an open file. Raises OSError if it cannot be read."""
    found = hashlib.blake2b(digest_size=16)
    for index in range(SAMPLES):
        file.seek(max(0, (status.st_size - SAMPLE_BYTES) * index // (SAMPLES - 1)))
        found.update(file.read(SAMPLE_BYTES))
    return Fingerprint(status.st_size, status.st_mtime_ns, found.hexdigest())


def _of_folder(path: Path) -> Fingerprint:
    files = sorted((file.name, file.stat()) for file in path.iterdir() if file.is_file())
    names = "\n".join(f"{name} {status.st_size}" for name, status in files)
    return Fingerprint(
        sum(status.st_size for _, status in files),
        max((status.st_mtime_ns for _, status in files), default=0),
        hashlib.blake2b(names.encode(), digest_size=16).hexdigest(),
    )
