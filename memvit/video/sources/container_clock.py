"""The time of day that a live container tells of its frames."""

from __future__ import annotations

import struct

from av import Packet, VideoStream
from av.container import InputContainer

REFERENCE_TIME = struct.Struct("=q")
"""FFmpeg's `AVProducerReferenceTime` begins with the Unix time in microseconds."""


class ContainerClock:
    """Reads the clock of the other side, from the sender reports of RTP (RTSP). HLS playlists, transport streams and
    files have none that FFmpeg passes on.
    """

    def __init__(self, container: InputContainer) -> None:
        self._container = container
        self._offset_seconds: float | None = None

    def read(self, packet: Packet[VideoStream]) -> None:
        """Take the time that a packet carries, or that the container has learned meanwhile."""
        time_base = packet.time_base
        if packet.pts is not None and packet.has_sidedata("prft"):
            content = bytes(packet.get_sidedata("prft"))
            if len(content) >= REFERENCE_TIME.size:
                (microseconds,) = REFERENCE_TIME.unpack_from(content)
                self._offset_seconds = microseconds / 1e6 - float(packet.pts * time_base)
                return
        began = self._container.start_time_realtime
        if self._offset_seconds is None and began:
            self._offset_seconds = began / 1e6

    def unix_of(self, container_seconds: float | None) -> float | None:
        """Unix time of a frame; None while it is not known."""
        if container_seconds is None or self._offset_seconds is None:
            return None
        return self._offset_seconds + container_seconds
