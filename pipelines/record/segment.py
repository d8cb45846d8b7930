"""Packets on disk while an event goes on: one file for each piece of a stream, which a crash only shortens.

A file is a line of JSON (the format of its packets), the header of the format, and then each packet: a fixed record and
its bytes. It begins with a key frame. What was cut off at its end is left out when it is read.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from memvit.video.packets import EncodedPacket, PacketFormat, PacketRun

SUFFIX = ".packets"
RECORD = struct.Struct("<qqqdBI")
"""pts, dts, duration, seconds of the stream, whether it is a key frame, bytes."""
MAX_HEADER_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class StoredPacket:
    """Where a packet is."""

    pts: int
    dts: int
    duration: int
    seconds: float
    is_keyframe: bool
    place: int
    """Of its bytes in the file."""
    size: int


@dataclass(eq=False)
class Segment:
    """A piece of a stream."""

    path: Path
    format: PacketFormat
    display_matrix: tuple[int, ...] | None
    packets: list[StoredPacket] = field(default_factory=list)
    first_number: int | None = None
    """`EncodedPacket.number` of its first packet; None for a file of an earlier run."""

    @property
    def first_seconds(self) -> float:
        """When its first packet is shown."""
        return self.packets[0].seconds

    @property
    def last_seconds(self) -> float:
        """When its newest packet is shown."""
        return self.packets[-1].seconds

    def read(self, packets: Sequence[StoredPacket]) -> Iterator[bytes]:
        """The bytes of some of its packets. OSError if the file cannot be read."""
        with self.path.open("rb") as file:
            for packet in packets:
                file.seek(packet.place)
                yield file.read(packet.size)


class SegmentWriter:
    """Appends packets of one run to a new file. OSError if the disk takes no more."""

    def __init__(self, path: Path, run: PacketRun) -> None:
        self.run = run
        self.segment = Segment(path, run.format, run.display_matrix)
        self.last_number = 0
        """Number of the last packet that was written."""
        self._file = path.open("wb")
        self._place = self._file.write(_header(run))

    def write(self, packet: EncodedPacket) -> None:
        """Append a packet whose time is known."""
        assert packet.seconds is not None
        if not self.segment.packets:
            self.segment.first_number = packet.number
        times = packet.pts, packet.dts, packet.duration, packet.seconds, packet.is_keyframe
        self._file.write(RECORD.pack(*times, len(packet.data)))
        self._file.write(packet.data)
        place = self._place + RECORD.size
        self.segment.packets.append(StoredPacket(*times, place, len(packet.data)))
        self._place = place + len(packet.data)
        self.last_number = packet.number

    def flush(self) -> None:
        """Let the system have what was written: it survives the end of this process."""
        self._file.flush()

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def read_segment(path: Path) -> Segment | None:
    """A file that an earlier run has left; None if it holds no whole packet. OSError if it cannot be read."""
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            described: dict[str, Any] = json.loads(file.readline(MAX_HEADER_BYTES))
            segment = _described(path, described)
        except (ValueError, KeyError, TypeError, ZeroDivisionError):
            return None
        place = file.tell()
        while len(record := file.read(RECORD.size)) == RECORD.size:
            pts, dts, duration, seconds, is_keyframe, length = RECORD.unpack(record)
            place += RECORD.size
            if place + length > size:
                break
            segment.packets.append(StoredPacket(pts, dts, duration, seconds, bool(is_keyframe), place, length))
            place = file.seek(place + length)
    return segment if segment.packets else None


def _header(run: PacketRun) -> bytes:
    found = run.format
    described = {
        "codec": found.codec,
        "width": found.width,
        "height": found.height,
        "extradata": base64.b64encode(found.extradata).decode(),
        "time_base": [found.time_base.numerator, found.time_base.denominator],
        "display_matrix": run.display_matrix,
        "header": base64.b64encode(found.header).decode(),
    }
    return json.dumps(described).encode() + b"\n"


def _described(path: Path, described: dict[str, Any]) -> Segment:
    matrix = described["display_matrix"]
    return Segment(
        path,
        PacketFormat(
            described["codec"],
            described["width"],
            described["height"],
            base64.b64decode(described["extradata"]),
            Fraction(*described["time_base"]),
            base64.b64decode(described["header"]),
        ),
        None if matrix is None else tuple(matrix),
    )
