"""Why the service does not do what it is asked."""

from __future__ import annotations

from memvit.types import MemvitError


class TooManyStreams(MemvitError):
    """The server watches as many streams as it may."""


class UnknownStream(MemvitError):
    """There is no such stream."""


class TooBusy(MemvitError):
    """Others are being added and removed; try again."""


class StateNotSaved(MemvitError):
    """The stream could not be saved, so it would not survive a crash; it was not added."""


class StreamExists(MemvitError):
    """Another stream has this id."""


class UnknownZone(MemvitError):
    """There is no such zone."""


class ZonesNotSaved(MemvitError):
    """The file of the zones is not there, or cannot be written."""


def nothing_to_reload() -> str:
    """Of a server without a file of rules and without a configuration."""
    raise MemvitError("the server was started without --config and --rules, so there is nothing to read again")
