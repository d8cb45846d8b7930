"""The time of day that a container tells; packets are made up here, as RTP gives them."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest

from memvit.video.sources.container_clock import ContainerClock
from tests.video import make


def packet(pts: int | None, captured_unix: float | None) -> Any:
    """A packet with FFmpeg's reference time: microseconds, and flags."""
    content = b"" if captured_unix is None else struct.pack("=qi", round(captured_unix * 1e6), 24)
    return SimpleNamespace(
        pts=pts,
        time_base=Fraction(1, 90_000),
        has_sidedata=lambda kind: kind == "prft" and captured_unix is not None,
        get_sidedata=lambda kind: content,
    )


def test_the_newest_reference_time_holds() -> None:
    container: Any = SimpleNamespace(start_time_realtime=None)
    clock = ContainerClock(container)
    clock.read(packet(90_000, None))
    assert clock.unix_of(1.0) is None
    clock.read(packet(180_000, 1_777_000_002.0))
    assert clock.unix_of(2.5) == pytest.approx(1_777_000_002.5)
    clock.read(packet(None, 1.0))
    clock.read(packet(270_000, 1_777_000_003.25))  # the other side has set its clock
    assert clock.unix_of(3.0) == pytest.approx(1_777_000_003.25) and clock.unix_of(None) is None


def test_the_start_of_the_container_is_used_until_then() -> None:
    container: Any = SimpleNamespace(start_time_realtime=1_777_000_000_000_000)
    clock = ContainerClock(container)
    clock.read(packet(None, None))
    assert clock.unix_of(4.0) == pytest.approx(1_777_000_004.0)


def test_files_tell_none(tmp_path: Path) -> None:
    with av.open(str(make.write(tmp_path / "a.ts", make.counted(5), rate=10))) as container:
        clock = ContainerClock(container)
        for one in container.demux(video=0):
            clock.read(one)
    assert clock.unix_of(0.0) is None
