"""The packets of a stream in memory: their times, and their bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from memvit.video.packets import PacketRing
from tests.pipelines.record.made import RATE, feed, images
from tests.video import make


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make.write(tmp_path_factory.mktemp("films") / "film.mp4", images(4), rate=RATE, g="10", bf="2")


def test_packets_have_the_times_of_their_frames(film: Path) -> None:
    ring = PacketRing(100.0, 10**8)
    shown = [seconds for seconds, _ in feed(ring, film, offset_seconds=50.0)]
    packets = ring.after(0)
    assert sorted(round(packet.seconds or 0, 3) for packet in packets) == [round(seconds, 3) for seconds in shown]
    assert packets[0].is_keyframe and [packet.number for packet in packets] == list(range(1, len(shown) + 1))
    assert ring.after(30) == packets[30:] and ring.after(1000) == []
    complete = ring.complete_seconds
    assert complete == packets[-1].decoding_seconds and complete < max(shown)  # frames may be shown before the last one


def test_the_oldest_packets_are_dropped_by_seconds_and_by_bytes(film: Path) -> None:
    by_seconds = PacketRing(2.0, 10**8)
    feed(by_seconds, film)
    feed(by_seconds, film, offset_seconds=4.0)
    held = [packet.seconds or 0 for packet in by_seconds.after(0)]
    assert min(held) == pytest.approx(5.0) and max(held) == pytest.approx(7.9)  # from a key frame on
    by_bytes = PacketRing(100.0, 20_000)
    feed(by_bytes, film)
    assert by_bytes.size_bytes <= 20_000 and 0 < len(by_bytes.after(0)) < 40
    assert by_bytes.size_bytes == sum(len(packet.data) for packet in by_bytes.after(0))


def test_packets_without_a_known_time_are_held_back(film: Path) -> None:
    ring = PacketRing(100.0, 10**8)
    feed(ring, film)
    numbers = [packet.number for packet in ring.after(0)]
    place, ring.place = ring.place, lambda container, seconds: None  # type: ignore[method-assign]
    feed(ring, film, offset_seconds=4.0)
    assert [packet.number for packet in ring.after(0)] == numbers and ring.complete_seconds is None
    place(3600.0, 4.0)  # a frame of another connection
    assert ring.complete_seconds is None
    place(0.0, 4.0)
    assert len(ring.after(0)) == 80 and ring.after(40)[0].run is not ring.after(0)[0].run


def test_a_clock_that_jumps_begins_another_run_with_a_key_frame(tmp_path: Path) -> None:
    path = make.write(tmp_path / "jump.ts", images(4), rate=RATE, pts=[*range(15), *range(315, 340)], g="10", bf="0")
    ring = PacketRing(1000.0, 10**8)
    feed(ring, path)
    packets = ring.after(0)
    first = next(packet for packet in packets if packet.run is not packets[0].run)
    assert first.is_keyframe and (first.seconds or 0) > 31
