"""Which sources a client may name, and how the server opens them without being led to other files or addresses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from memvit.streams.policy import LivePolicy
from memvit.types import MemvitError, SourceError
from memvit.video.limits import DEFAULT_LIMITS, VideoLimits
from memvit.video.packets import PacketSink
from memvit.video.sources.location import is_always_live, is_camera
from memvit.video.sources.open import open_source
from memvit.video.sources.realtime import RealtimeSource
from memvit.video.sources.source import Source

from .addresses import AddressDenied, AddressRules
from .proxy import CheckingProxy

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
    """Files in these folders, and in folders within them, may be read."""
    cameras: bool = False
    """Whether clients may name `/dev/video0` and the like."""
    addresses: AddressRules = field(default_factory=AddressRules)
    """Which network addresses their sources may connect to."""

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
            try:
                self.addresses.check_literal(location)
            except AddressDenied as error:
                raise SourceRefused(str(error)) from None
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
    realtime: bool = False,
    from_seconds: float = 0.0,
    limits: VideoLimits = DEFAULT_LIMITS,
    addresses: AddressRules | None = None,
    proxy: CheckingProxy | None = None,
    packets: PacketSink | None = None,
) -> Source:
    """Open what `SourceRules.check` returned. `realtime` plays a file at its own speed, again and again.

    `addresses` are checked again at every opening: a name may lead elsewhere now. Where there is a `proxy`, it checks
    them instead, at every connection. `packets` gets every packet before it is decoded.
    """
    open_once = partial(
        open_source,
        location,
        open_timeout_seconds=policy.open_timeout_seconds,
        read_timeout_seconds=policy.read_timeout_seconds,
        decoder_threads=1,  # the other cores have other streams
        limits=limits,
        options=proxy.ffmpeg_options(location) if proxy is not None else None,
        packets=packets,
    )
    if addresses is not None and proxy is None:
        addresses.check(location)
    try:
        if not realtime or is_always_live(location):
            return open_once(from_seconds=from_seconds)
        source = open_once()
    except SourceError as error:
        failure = proxy.take_failure() if proxy is not None else None
        raise failure or error from None
    return source if source.info.is_live else RealtimeSource(source, open_once)
