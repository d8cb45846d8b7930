"""Which packets make a video, where parts of a stream were read again."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memvit.video.packets import PacketFormat
from pipelines.record.cut import cut, seconds_of
from pipelines.record.segment import Segment, StoredPacket

SECOND = Fraction(1)


def segment(first: int, last: int, gop: int, width: int = 96) -> Segment:
    """A frame a second, a key frame every `gop` seconds of the stream, the first packet one too."""
    form = PacketFormat("h264", width, 64, b"", SECOND, b"")
    packets = [StoredPacket(at, at, 1, float(at), at == first or at % gop == 0, 0, 1) for at in range(first, last + 1)]
    return Segment(Path(), form, None, packets)


def shown(segments: list[Segment], from_seconds: float, to_seconds: float) -> list[float]:
    return [packet.seconds for piece in cut(segments, from_seconds, to_seconds) for packet in piece.packets]


def test_a_shorter_part_that_is_read_again_does_not_end_the_video() -> None:
    parts = [segment(0, 30, 10), segment(10, 14, 10)]
    for order in itertools.permutations(parts):
        assert shown(list(order), 12, 28) == list(range(10, 29))
        assert seconds_of(cut(list(order), 12, 28)) == 19


def test_a_longer_part_follows_at_a_key_frame() -> None:
    found = cut([segment(0, 25, 10), segment(10, 40, 10)], 5, 35)
    assert [(piece.first_seconds, piece.packets[-1].seconds) for piece in found] == [(0, 19), (20, 35)]


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 40), st.integers(1, 20)), max_size=6),
    st.integers(0, 60),
    st.integers(0, 50),
)
@settings(max_examples=300, deadline=None)
def test_every_second_that_is_there_is_shown_once(parts: list[tuple[int, int, int]], begin: int, length: int) -> None:
    segments = [segment(first, first + more, gop) for first, more, gop in parts]
    found = shown(segments, begin, begin + length)
    there = {int(packet.seconds) for one in segments for packet in one.packets}
    assert {at for at in found if at >= begin} == {at for at in there if begin <= at <= begin + length}
    assert all(before < after for before, after in itertools.pairwise(found))
    for piece in cut(segments, begin, begin + length):
        assert piece.packets[0].is_keyframe


@pytest.mark.parametrize(("seconds", "width"), [(5, 96), (20, 128)])
def test_the_format_that_covers_most_is_kept(seconds: int, width: int) -> None:
    found = cut([segment(0, 9, 5), segment(10, 10 + seconds, 5, width=128)], 0, 40)
    assert {piece.segment.format.width for piece in found} == {width}
