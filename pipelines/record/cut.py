"""Which packets of a stream's segments make the video of an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .segment import Segment, StoredPacket


@dataclass(frozen=True)
class Piece:
    """Packets of one segment that follow each other, from a key frame on."""

    segment: Segment
    packets: tuple[StoredPacket, ...]

    @property
    def first_seconds(self) -> float:
        """When its first packet is shown."""
        return self.packets[0].seconds


def seconds_of(pieces: Sequence[Piece]) -> float:
    """From the first frame to the end of the last, gaps included; 0 for nothing."""
    ends = [
        packet.seconds + float(packet.duration * piece.segment.format.time_base)
        for piece in pieces
        for packet in piece.packets
    ]
    return max(ends) - pieces[0].first_seconds if pieces else 0.0


def cut(segments: Sequence[Segment], from_seconds: float, to_seconds: float) -> list[Piece]:
    """The pieces of [from, to], from the last key frame before; none if nothing of it is there.

    Where a segment begins before another one ends, as after a restart that reads a part again, the later one holds.
    Where the format changes, the pieces are those of the format that covers most.
    """
    ordered = sorted((one for one in segments if one.packets), key=lambda one: one.first_seconds)
    pieces: list[Piece] = []
    for place, segment in enumerate(ordered):
        following = min((one.first_seconds for one in ordered[place + 1 :]), default=float("inf"))
        if following <= from_seconds:
            continue
        packets = _between(segment, from_seconds, to_seconds, following)
        if packets:
            pieces.append(Piece(segment, packets))
    formats = [piece.segment.format for piece in pieces]
    covered = [_covered([piece for piece in pieces if piece.segment.format == one]) for one in formats]
    if not pieces:
        return []
    chosen = formats[covered.index(max(covered))]
    return [piece for piece in pieces if piece.segment.format == chosen]


def _between(segment: Segment, from_seconds: float, to_seconds: float, end: float) -> tuple[StoredPacket, ...]:
    """Packets of a segment in the order of decoding, without those that another one shows from `end` on."""
    packets = segment.packets
    keys = [place for place, packet in enumerate(packets) if packet.is_keyframe and packet.seconds < end]
    early = [place for place in keys if packets[place].seconds <= from_seconds]
    first = early[-1] if early else next(iter(keys), None)
    if first is None or packets[first].seconds > to_seconds:
        return ()
    last = max(place for place, packet in enumerate(packets) if packet.seconds <= to_seconds)
    # Frames that are shown before the key frame refer to frames before it.
    begin = packets[first].seconds
    return tuple(one for one in packets[first : last + 1] if begin <= one.seconds < end)


def _covered(pieces: Sequence[Piece]) -> float:
    return sum(max(packet.seconds for packet in piece.packets) - piece.first_seconds for piece in pieces)
