"""The encoded packets of a stream as they came, the last of them held in memory, with their times in the stream.

Packets are in the order of decoding, and a run of them begins with a key frame.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import av
from av import Packet, VideoStream
from av.error import FFmpegError

HEADER_FORMAT = "nut"
"""This container changes neither the decoder's parameters nor the packets."""
JUMP_SECONDS = 5.0
"""A connection whose packets jump ahead by more than this, or back, begins another run."""
SAME_RUN_SECONDS = 0.5
"""A frame's time belongs to the present run if it lies at most so much outside the run's packets."""
FALLBACK_TIME_BASE = Fraction(1, 90_000)


@dataclass(frozen=True)
class PacketFormat:
    """What a decoder must know of packets. Two are equal where packets of one can follow those of the other."""

    codec: str
    """FFmpeg's name of the codec: h264, hevc, av1 …"""
    width: int
    height: int
    extradata: bytes
    time_base: Fraction
    header: bytes = field(compare=False)
    """A small file with the parameters of the stream and its first packet, from which another stream can be made."""


@dataclass(eq=False)
class PacketRun:
    """Packets without a break, of one connection."""

    format: PacketFormat
    display_matrix: tuple[int, ...] | None = None
    """Nine numbers that turn the pictures upright; None where they are."""
    offset_seconds: float | None = None
    """Seconds of the stream less those of the packets; None until the first frame has its time."""


@dataclass(frozen=True, eq=False, slots=True)
class EncodedPacket:
    """One packet."""

    number: int
    """1, 2, 3, … for the packets of a stream; a number that is missing was dropped."""
    run: PacketRun
    data: bytes
    pts: int
    """In units of the format's time base, as the next two."""
    dts: int
    duration: int
    is_keyframe: bool

    @property
    def seconds(self) -> float | None:
        """Presentation time in seconds of the stream; None while it is not known."""
        return self._in_stream(self.pts)

    @property
    def decoding_seconds(self) -> float | None:
        """Decoding time in seconds of the stream; None while it is not known."""
        return self._in_stream(self.dts)

    def _in_stream(self, ticks: int) -> float | None:
        offset = self.run.offset_seconds
        return None if offset is None else float(ticks * self.run.format.time_base) + offset


class PacketInput(Protocol):
    """Takes the packets of one connection."""

    def add(self, packet: Packet[VideoStream]) -> None:
        """A packet as it came."""

    def turn(self, display_matrix: tuple[int, ...] | None) -> None:
        """How the pictures of this connection are turned upright."""


class PacketSink(Protocol):
    """What a source gives its packets to."""

    def begin(self, stream: VideoStream) -> PacketInput:
        """A connection has been made. The stream must stay open while packets are added."""


class PacketRing:
    """The last packets of a stream, bounded in seconds and in bytes. All methods may be called from any thread.

    The packets of `max_seconds` can be decoded: those from the key frame before them on are held, too, as long as there
    is room.
    """

    def __init__(self, max_seconds: float, max_bytes: int) -> None:
        self.max_seconds, self.max_bytes = max_seconds, max_bytes
        self._lock = threading.Lock()
        self._packets: deque[EncodedPacket] = deque()
        self._keys: deque[EncodedPacket] = deque()
        """The key frames among them."""
        self._bytes = 0
        self._last_number = 0
        self._run: PacketRun | None = None
        """The run of the newest packets."""
        self._first_seconds = self._last_seconds = 0.0
        """Of the packets of this run, in seconds of their connection."""

    def begin(self, stream: VideoStream) -> PacketInput:
        """The packets of another connection follow."""
        return _Connection(self, stream)

    def append(self, run: PacketRun, packet: Packet[VideoStream], pts: int, dts: int) -> None:
        """Add a packet and drop the oldest that are too many."""
        seconds = float(pts * run.format.time_base)
        with self._lock:
            if self._run is not run:
                self._run, self._first_seconds = run, seconds
            self._last_seconds = seconds
            self._last_number += 1
            data = bytes(packet)
            made = EncodedPacket(self._last_number, run, data, pts, dts, packet.duration or 0, packet.is_keyframe)
            self._packets.append(made)
            if made.is_keyframe:
                self._keys.append(made)
            self._bytes += len(data)
            self._drop_surplus()

    def place(self, container_seconds: float | None, seconds: float | None) -> None:
        """A decoded frame, whose packet has `container_seconds`, is at `seconds` of the stream, if both are known."""
        if container_seconds is None or seconds is None:
            return
        with self._lock:
            run = self._run
            if run is None or run.offset_seconds is not None:
                return
            is_of_run = (
                self._first_seconds - SAME_RUN_SECONDS <= container_seconds <= self._last_seconds + SAME_RUN_SECONDS
            )
            if is_of_run:
                run.offset_seconds = seconds - container_seconds

    def after(self, number: int) -> list[EncodedPacket]:
        """The packets that follow this number, as far as their times are known."""
        with self._lock:
            if not self._packets or number >= self._last_number:
                return []
            first = self._packets[0].number
            found = list(self._packets)[max(0, number + 1 - first) :]
        known = next((place for place, packet in enumerate(found) if packet.seconds is None), len(found))
        return found[:known]

    @property
    def complete_seconds(self) -> float | None:
        """Time in the stream before which all packets have come, if it is known. It is the decoding time of the newest
        packet: frames that are shown before this packet's frame may follow it.
        """
        with self._lock:
            return self._packets[-1].decoding_seconds if self._packets else None

    @property
    def size_bytes(self) -> int:
        """What is held."""
        return self._bytes

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._packets.clear()
            self._keys.clear()
            self._bytes = 0

    def _drop_surplus(self) -> None:
        newest = self._packets[-1].seconds
        while self._bytes > self.max_bytes and len(self._packets) > 1:
            self._drop_oldest()
        while newest is not None and len(self._keys) > 1:
            second = self._keys[1]
            if second.seconds is None or newest - second.seconds <= self.max_seconds:
                return
            while self._packets[0] is not second:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = self._packets.popleft()
        self._bytes -= len(oldest.data)
        if self._keys and self._keys[0] is oldest:
            self._keys.popleft()


class _Connection:
    """The packets of one connection, on their way to the ring."""

    def __init__(self, ring: PacketRing, stream: VideoStream) -> None:
        self._ring, self._stream = ring, stream
        self._run: PacketRun | None = None
        self._last_dts_seconds = 0.0
        self._display_matrix: tuple[int, ...] | None = None

    def add(self, packet: Packet[VideoStream]) -> None:
        """A packet as it came; until a key frame, and without any time, it is left out."""
        pts = packet.pts if packet.pts is not None else packet.dts
        dts = packet.dts if packet.dts is not None else packet.pts
        if pts is None or dts is None or not packet.size or packet.is_corrupt:
            return
        time_base = self._stream.time_base or FALLBACK_TIME_BASE
        dts_seconds = float(dts * time_base)
        if self._run is not None and not -SAME_RUN_SECONDS < dts_seconds - self._last_dts_seconds < JUMP_SECONDS:
            self._run = None
        if self._run is None:
            if not packet.is_keyframe or (found := format_of(self._stream, packet, time_base)) is None:
                return
            self._run = PacketRun(found, self._display_matrix)
        self._last_dts_seconds = dts_seconds
        self._ring.append(self._run, packet, pts, dts)

    def turn(self, display_matrix: tuple[int, ...] | None) -> None:
        """How the pictures are turned upright."""
        self._display_matrix = display_matrix
        if self._run is not None:
            self._run.display_matrix = display_matrix


def format_of(stream: VideoStream, packet: Packet[VideoStream], time_base: Fraction) -> PacketFormat | None:
    """The format of a stream whose next packet, a key frame, is given; None for a codec that cannot be copied."""
    context = stream.codec_context
    try:
        header = io.BytesIO()
        with av.open(header, "w", format=HEADER_FORMAT) as container:
            copy = container.add_stream_from_template(stream, opaque=True)
            first = Packet(bytes(packet))
            first.stream, first.time_base, first.pts, first.dts, first.is_keyframe = copy, time_base, 0, 0, True
            container.mux(first)
    except (FFmpegError, ValueError):
        return None
    return PacketFormat(
        context.codec.canonical_name,
        context.width,
        context.height,
        bytes(context.extradata or b""),
        time_base,
        header.getvalue(),
    )
