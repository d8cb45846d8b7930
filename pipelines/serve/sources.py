"""Which sources a client may name. The server opens them, so this is where it must not be led astray."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from memvit.streams.policy import LivePolicy
from memvit.types import MemvitError
from memvit.video.limits import DEFAULT_LIMITS, VideoLimits
from memvit.video.sources.location import is_always_live, is_camera
from memvit.video.sources.open import open_source
from memvit.video.sources.realtime import RealtimeSource
from memvit.video.sources.source import Source

DEFAULT_SCHEMES = ("rtsp", "rtsps", "http", "https")
MAX_CHARACTERS = 2048
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://[^/\\]")


class SourceRefused(MemvitError):
    """The server does not open this for a client."""


@dataclass(frozen=True)
class SourceRules:
    """What a client may name."""

    schemes: tuple[str, ...] = DEFAULT_SCHEMES
    folders: tuple[Path, ...] = ()
    """Files below these may be read."""
    cameras: bool = False
    """`/dev/video0` and the like."""

    def check(self, location: str) -> str:
        """The location to open, a path made absolute; SourceRefused, with the reason, if it is not allowed."""
        if not location or len(location) > MAX_CHARACTERS:
            raise SourceRefused(f"a source has 1 to {MAX_CHARACTERS} characters")
        if any(ord(character) < 32 or ord(character) == 127 for character in location):
            raise SourceRefused("a source must not hold control characters")
        if is_camera(location):
            if not self.cameras:
                raise SourceRefused("cameras of the server are not offered; start it with --allow-cameras")
            return location
        if "://" in location:
            match = _SCHEME.match(location)
            if match is None or match[1].lower() not in self.schemes:
                allowed = ", ".join(self.schemes) or "none"
                raise SourceRefused(f"this kind of address is not allowed (allowed: {allowed}); see --allow-scheme")
            return location
        return str(self._file(location))

    def _file(self, location: str) -> Path:
        refused = SourceRefused("this file is not in a folder that the server offers; see --allow-folder")
        try:
            path = Path(location).resolve(strict=True)
            folders = [folder.resolve() for folder in self.folders]
        except (OSError, RuntimeError, ValueError):
            # The same words whether it exists or not: a client must not learn what is on the disk.
            raise refused from None
        if not path.is_file() or not any(path.is_relative_to(folder) for folder in folders):
            raise refused
        return path


def open_checked(
    location: str,
    policy: LivePolicy,
    *,
    pace: bool = False,
    from_seconds: float = 0.0,
    limits: VideoLimits = DEFAULT_LIMITS,
) -> Source:
    """Open what `SourceRules.check` returned."""
    again = partial(
        open_source,
        location,
        open_timeout_seconds=policy.open_timeout_seconds,
        read_timeout_seconds=policy.read_timeout_seconds,
        decoder_threads=1,  # the other cores have other streams
        limits=limits,
    )
    if not pace or is_always_live(location):
        return again(from_seconds=from_seconds)
    source = again()
    return source if source.info.is_live else RealtimeSource(source, again)
