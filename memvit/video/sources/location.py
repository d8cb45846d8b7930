"""Kinds of locations, their names, and how they may be shown. No name or shown location contains credentials."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.:,-]+)://(?P<rest>.*)", re.DOTALL)
VIDEO_SUFFIXES = frozenset(
    [
        ".3gp",
        ".asf",
        ".avi",
        ".divx",
        ".f4v",
        ".flv",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
    ]
)
"""Suffixes of the names of video files."""
_LIVE_SCHEMES = {"rtsp", "rtsps", "rtmp", "rtmps", "udp", "rtp", "srt", "tcp"}
_PLAIN_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:@\[\]]*)(:\d*)?")
_HIDDEN_USER = "***@"
_HIDDEN_QUERY = "?…"


def is_url(location: str) -> bool:
    """Whether the location names a protocol (`rtsp://…`) and not a path."""
    return _URL.fullmatch(location) is not None


def is_always_live(location: str) -> bool:
    """Whether the location can only be live. HTTP serves live video and files, and tells which once it is open."""
    match = _URL.fullmatch(location)
    return is_camera(location) or (match is not None and match["scheme"].lower() in _LIVE_SCHEMES)


def is_playlist(location: str) -> bool:
    """Whether the location is an HLS playlist. HLS is mostly live, so the playlist may not exist yet."""
    return is_url(location) and re.split(r"[?#]", location, maxsplit=1)[0].lower().endswith(".m3u8")


def is_retried_at_first(location: str) -> bool:
    """Whether `watch` tries again to open a source that cannot be opened at first.

    A live stream on the network or a playlist may begin later. A file or a camera that is missing is a wrong path.
    """
    return is_playlist(location) or (is_always_live(location) and not is_camera(location))


def is_camera(location: str) -> bool:
    """Whether the location is a Video4Linux device (`/dev/video0`)."""
    return re.fullmatch(r"/dev/video\d+", location) is not None


def redact(location: str | Path) -> str:
    """The location without user name, password, query string and fragment. Paths are returned unchanged.

    In doubt, too much is hidden: a password with `/`, `?` or `@` unescaped is hidden as well. A secret in the path
    (the stream key of some RTMP services) cannot be distinguished from a name and stays visible.
    """
    text = os.fspath(location)
    match = _URL.fullmatch(text)
    if match is None:
        return text
    rest, user, query = match["rest"], "", ""
    before_query = re.split(r"[?#]", rest, maxsplit=1)[0]
    is_plain = _PLAIN_AUTHORITY.fullmatch(before_query.split("/", 1)[0]) is not None
    if "@" in (before_query if is_plain else rest):
        rest, user = rest.rpartition("@")[2], _HIDDEN_USER
    if found := re.search(r"[?#]", rest):
        rest, query = rest[: found.start()], _HIDDEN_QUERY
    return f"{match['scheme']}://{user}{rest}{query}"


def source_name(location: str | Path) -> str:
    """A short name that can be a file name: a file's stem, a folder's name, or the host and path of a URL."""
    text = os.fspath(location)
    if is_url(text):
        shown = redact(text).partition("://")[2].removeprefix(_HIDDEN_USER).removesuffix(_HIDDEN_QUERY)
        return re.sub(r"[^\w.-]+", "_", shown).strip("_.") or "stream"
    path = Path(text)
    path = path if path.name and path.name != ".." else path.resolve()
    return (path.name if path.is_dir() else path.stem) or "source"


def unique_names(locations: Sequence[str]) -> list[str]:
    """A different file name for every location: its source name, with a number added to repeated ones."""
    names: list[str] = []
    for location in locations:
        stem = source_name(location)
        candidates = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
        names.append(next(name for name in candidates if name not in names))
    return names
