"""Which packets of a stream's segments make the video of an event."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from memvit.video.packets import PacketFormat

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

    Segments overlap where a part is read again, as after a restart. The one that reaches farthest holds, and another
    one follows at a key frame. Where the format changes, the pieces are those of the format that covers most.
    """
    formats: list[PacketFormat] = []
    for segment in segments:
        if segment.packets and segment.format not in formats:
            formats.append(segment.format)
    found = [
        _pieces([one for one in segments if one.packets and one.format == each], from_seconds, to_seconds)
        for each in formats
    ]
    return max(found, key=_covered, default=[])


def _pieces(segments: Sequence[Segment], from_seconds: float, to_seconds: float) -> list[Piece]:
    """The pieces of segments of one format."""
    joined: list[tuple[Segment, float]] = []
    """Segments, and the key frames from which they are shown until the next."""
    position = from_seconds
    while position <= to_seconds:
        chosen = _covering(segments, position) or _next(segments, position)
        if chosen is None or chosen[1] > to_seconds:
            break
        joined.append(chosen)
        position = math.nextafter(_last_seconds(chosen[0]), math.inf)
    pieces = []
    for place, (segment, begin) in enumerate(joined):
        end = joined[place + 1][1] if place + 1 < len(joined) else math.inf
        if packets := _between(segment, begin, end, to_seconds):
            pieces.append(Piece(segment, packets))
    return pieces


def _covering(segments: Sequence[Segment], seconds: float) -> tuple[Segment, float] | None:
    """Of the segments that show this time, the one that reaches farthest, and its last key frame until then."""
    found = [
        (segment, max(keys))
        for segment in segments
        if _last_seconds(segment) >= seconds and (keys := [one for one in _keyframes(segment) if one <= seconds])
    ]
    return max(found, key=lambda one: _reach(one[0]), default=None)


def _next(segments: Sequence[Segment], seconds: float) -> tuple[Segment, float] | None:
    """The first key frame at or after this time, and of the segments that have it the one that reaches farthest."""
    found = [
        (segment, min(keys)) for segment in segments if (keys := [one for one in _keyframes(segment) if one >= seconds])
    ]
    first = min((begin for _, begin in found), default=None)
    return max((one for one in found if one[1] == first), key=lambda one: _reach(one[0]), default=None)


def _keyframes(segment: Segment) -> list[float]:
    return [packet.seconds for packet in segment.packets if packet.is_keyframe]


def _last_seconds(segment: Segment) -> float:
    """When its last frame is shown; in the order of decoding it is not the last packet."""
    return max(packet.seconds for packet in segment.packets)


def _reach(segment: Segment) -> tuple[float, float]:
    """Grows with what a segment shows: of two with the same last frame, one may lack frames before it."""
    last = segment.packets[-1]
    return _last_seconds(segment), last.seconds - float((last.pts - last.dts) * segment.format.time_base)


def _between(segment: Segment, begin: float, end: float, to_seconds: float) -> tuple[StoredPacket, ...]:
    """Packets in the order of decoding from the key frame at `begin`, without what is shown from `end` on."""
    packets = segment.packets
    first = next(place for place, one in enumerate(packets) if one.is_keyframe and one.seconds == begin)
    last = max(place for place, one in enumerate(packets) if one.seconds <= to_seconds)
    # Frames that are shown before the key frame refer to frames before it.
    return tuple(one for one in packets[first : last + 1] if begin <= one.seconds < end)


def _covered(pieces: Sequence[Piece]) -> float:
    return sum(max(packet.seconds for packet in piece.packets) - piece.first_seconds for piece in pieces)
