"""Errors of the operating system as one sentence: what, where, what to do."""

from __future__ import annotations

import errno
import os

REASONS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EFBIG: "the largest allowed file size is reached; raise the limit and run the same command again",
    errno.EROFS: "the disk is read-only; name another place",
    errno.EACCES: "permission denied; name another place, or change its permissions",
    errno.EPERM: "permission denied; name another place, or change its permissions",
    errno.ENOENT: "there is no such file or folder; check the path",
    errno.EEXIST: "a file of this name is there already; name another folder",
    errno.ENOTDIR: "a file is where a folder is needed; check the path",
    errno.EISDIR: "this is a folder, and a file is needed; name a file",
    errno.ENAMETOOLONG: "the name is too long; name a shorter one",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n), or watch fewer sources at once",
    errno.ENOMEM: "there is not enough memory; close other programs, or use a smaller model or batch",
    errno.EADDRINUSE: "the address is in use; choose another port",
}


def sentence_of(error: OSError, where: str | os.PathLike[str] | None = None) -> str:
    """What went wrong in words. `where` names the place if the error itself does not, as when a write fails."""
    place = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else where
    reason = REASONS.get(error.errno or 0)
    if reason is None:
        return str(error)
    return f"{os.fspath(place)}: {reason}" if place else reason
