"""What went wrong, in a sentence that says what to do. Locations are shown without credentials."""

from __future__ import annotations

from pathlib import Path

import av.error

from memvit.video.location import is_url, redact


def why_not_opened(error: Exception, location: str, took_seconds: float, timeout_seconds: float) -> str:
    """Why FFmpeg could not open a location, after how long."""
    shown = redact(location)
    # A silent RTSP server ends in "invalid data" when the time is up.
    is_late = is_url(location) and took_seconds >= 0.95 * timeout_seconds
    if is_late or isinstance(error, (av.error.ExitError, av.error.TimeoutError)):
        return f"{shown}: no answer within {timeout_seconds:g} s; check that the other side is running and sends video"
    if isinstance(error, av.error.InvalidDataError) and _is_empty_file(location):
        return f"{shown}: the file is empty; copy or record it again"
    for kinds, sentence in _OPENING:
        if isinstance(error, kinds):
            return f"{shown}: {sentence}"
    return f"{shown}: it cannot be opened ({_plain(error)}); check the path or address"


def why_not_read(error: Exception, shown: str, timeout_seconds: float) -> str:
    """Why reading an open source broke off."""
    if isinstance(error, (av.error.ExitError, av.error.TimeoutError, av.error.BlockingIOError)):
        return f"{shown}: nothing came for {timeout_seconds:g} s; check the connection and open it again"
    return f"{shown}: reading broke off ({_plain(error)}); check the connection or disk and open it again"


def _is_empty_file(location: str) -> bool:
    try:
        return not is_url(location) and Path(location).stat().st_size == 0
    except OSError:
        return False


def _plain(error: Exception) -> str:
    """The error's own words, without the location that FFmpeg appends to them."""
    return str(getattr(error, "strerror", None) or type(error).__name__)


_OPENING: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((av.error.FileNotFoundError,), "there is no such file or device; check the path"),
    ((av.error.PermissionError,), "permission denied; make it readable for this user"),
    ((av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError), "access denied; check user name and password"),
    ((av.error.HTTPNotFoundError,), "the server has nothing at this address (404); check the address"),
    ((av.error.ConnectionRefusedError,), "connection refused; check host and port and that the server is running"),
    ((av.error.ProtocolNotFoundError,), "FFmpeg does not know this protocol; use http, rtsp, rtmp, udp or a file"),
    (
        (av.error.InvalidDataError,),
        "this is not a video, or its index is missing (an MP4 whose recording was cut off has none); "
        "check the file or record it again",
    ),
)
