"""Wall-clock times as text: UTC in files and messages, local time for people."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_text(unix_seconds: float) -> str:
    """ISO 8601 in UTC with milliseconds: 2026-05-01T12:00:00.000Z."""
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unix_of(text: str) -> float:
    """The inverse of `utc_text`. Any ISO 8601 time is read; one without a zone is UTC. ValueError if it is none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time such as 2026-05-01T12:00:00.000Z") from error
    return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp()


def local_text(unix_seconds: float) -> str:
    """Date and time of day in the machine's own zone: 2026-05-01 14:00:00."""
    return datetime.fromtimestamp(unix_seconds).strftime("%Y-%m-%d %H:%M:%S")
