"""Turns FFmpeg's errors into one sentence that says what to do. Locations are shown without credentials."""

from __future__ import annotations

import errno
from pathlib import Path

import av.error

from memvit.types import SourceError
from memvit.video.sources.location import is_url, redact

_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN)


def why_not_opened(error: Exception, location: str, took_seconds: float, timeout_seconds: float) -> SourceError:
    """Why FFmpeg could not open a location. It took `took_seconds` of the `timeout_seconds` allowed."""
    shown = redact(location)
    # If an RTSP server sends nothing, FFmpeg reports "invalid data" after the time-out.
    is_late = is_url(location) and took_seconds >= 0.95 * timeout_seconds
    if is_late or isinstance(error, (av.error.ExitError, av.error.TimeoutError)):
        sentence = f"no answer within {timeout_seconds:g} s; check that the other side is running and sends video"
        return SourceError(f"{shown}: {sentence}", "timeout")
    if isinstance(error, av.error.InvalidDataError) and _is_empty_file(location):
        return SourceError(f"{shown}: the file is empty; copy or record it again", "data")
    for kinds, kind, sentence in _OPENING:
        if isinstance(error, kinds):
            return SourceError(f"{shown}: {sentence}", kind)
    code = getattr(error, "errno", None)
    if code in _UNREACHABLE or (
        is_url(location) and code == errno.EIO
    ):  # FFmpeg reports an unknown host name as an I/O error
        sentence = f"the host cannot be reached ({_plain(error)}); check its name and the network"
        return SourceError(f"{shown}: {sentence}", "unreachable")
    return SourceError(f"{shown}: it cannot be opened ({_plain(error)}); check the path or address")


def why_not_read(error: Exception, shown: str, timeout_seconds: float) -> SourceError:
    """Why reading an open source failed."""
    if isinstance(error, (av.error.ExitError, av.error.TimeoutError, av.error.BlockingIOError)):
        sentence = f"nothing came for {timeout_seconds:g} s; check the connection and open it again"
        return SourceError(f"{shown}: {sentence}", "timeout")
    return SourceError(f"{shown}: reading broke off ({_plain(error)}); check the connection or disk and open it again")


def _is_empty_file(location: str) -> bool:
    try:
        return not is_url(location) and Path(location).stat().st_size == 0
    except OSError:
        return False


def _plain(error: Exception) -> str:
    """The error's own text, without the location that FFmpeg appends to it."""
    return str(getattr(error, "strerror", None) or type(error).__name__)


_OPENING: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
    ((av.error.FileNotFoundError,), "not_found", "there is no such file or device; check the path"),
    ((av.error.PermissionError,), "access", "permission denied; make it readable for this user"),
    (
        (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError),
        "access",
        "access denied; check user name and password",
    ),
    (
        (av.error.HTTPNotFoundError,),
        "not_found",
        "the server has nothing at this address (404); check the address",
    ),
    (
        (av.error.ConnectionRefusedError,),
        "refused",
        "connection refused; check host and port and that the server is running",
    ),
    (
        (av.error.ProtocolNotFoundError,),
        "data",
        "FFmpeg does not know this protocol; use http, rtsp, rtmp, udp or a file",
    ),
    (
        (av.error.ArgumentError,),
        "data",
        "this is not a video that can be read (a text, a picture or a playlist is none, whatever its name); "
        "name the video itself",
    ),
    (
        (av.error.InvalidDataError,),
        "data",
        "this is not a video, or its index is missing (an MP4 whose recording was cut off has none); "
        "check the file or record it again",
    ),
)
