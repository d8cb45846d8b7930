"""Whether a file is still the one it was: its size, its time, and a digest of samples of it."""

from __future__ import annotations

import errno
import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

from memvit.video.sources.location import is_url

SAMPLES = 16
SAMPLE_BYTES = 1 << 16


@dataclass(frozen=True)
class Fingerprint:
    """Of a file, or of a folder of frames."""

    size: int
    """Bytes; of a folder, of all its files."""
    modified_ns: int
    """Of a folder, of its last modified file."""
    digest: str
    """Of samples all over the file, the first and last bytes among them; of a folder, of all names and sizes."""

    def is_same(self, other: Fingerprint) -> bool:
        """Whether the content is the same, as far as the samples tell; a copy with another time is."""
        return (self.size, self.digest) == (other.size, other.digest)


def fingerprint(location: str) -> Fingerprint | None:
    """Of a file or folder; None for a URL, of which nothing is known beforehand. OSError if it cannot be read."""
    if is_url(location):
        return None
    path = Path(location)
    if path.is_dir():
        return _of_folder(path)
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "this is not a file", location)
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
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
