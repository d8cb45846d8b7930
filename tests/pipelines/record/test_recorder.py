"""The thread that records: a full disk stops it, and nothing else; it goes on when there is room again."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from memvit.events.rules import Rules
from memvit.events.rules_file import parse_rules
from memvit.video.packets import PacketRing
from pipelines.record import recorder as module
from pipelines.record.options import RecordOptions
from pipelines.record.recorder import News, Recorder, buffer_seconds, finish_leftovers
from pipelines.record.recording import RecorderStatus, Recording
from pipelines.record.segment import SegmentWriter
from pipelines.record.store import RecordingStore
from tests.pipelines.record.made import RATE, Recorded, feed, images, told
from tests.processes import wait_for
from tests.video import make


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make.write(tmp_path_factory.mktemp("films") / "film.mp4", images(4), rate=RATE, g="10")


class Running:
    """A recorder with its thread, and what it says."""

    def __init__(self, folder: Path, **options: float) -> None:
        self.store = RecordingStore(folder, 30, 10)
        self.options = RecordOptions(folder, before_seconds=1.0, after_seconds=0.5, **options)  # type: ignore[arg-type]
        self.news: list[News] = []
        self.recorder = Recorder(self.options, self.news.append, rules=Rules(), hop_seconds=1.0)
        self.recorder.start()

    def record(self, number: int, film: Path, *, offset_seconds: float = 0.0) -> None:
        feed(self.ring, film, offset_seconds)
        start = offset_seconds + 1.5
        self.recorder.tell([told(start, start + 0.5, number=number)])
        self.recorder.tell([told(start, start + 1.0, "end", number=number)])

    def begin(self) -> None:
        self.ring: PacketRing = self.recorder.add("cam")

    def recorded(self) -> list[str]:
        return [one.event_id[-1] for one in self.news if isinstance(one, Recording)]


def test_a_full_disk_stops_recording_once_and_it_goes_on(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "ROOM_SECONDS", 0.05)
    usage = shutil.disk_usage(tmp_path)
    free = 10**12
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free))
    running = Running(tmp_path)
    running.begin()
    running.record(1, film)
    wait_for(lambda: running.recorded() == ["1"], 10)
    free = 1000
    with caplog.at_level(logging.WARNING, "memvit.record"):
        running.recorder.tell([told(11.5, 12.0, number=2)])
        wait_for(lambda: isinstance(running.news[-1], RecorderStatus), 10)
        assert "there (less than 500 MB are free); make room" in str(running.news[-1])
        running.record(3, film, offset_seconds=20.0)
        free = 10**12
        wait_for(lambda: running.news[-1] == RecorderStatus("", None), 10)
        running.record(4, film, offset_seconds=30.0)
        wait_for(lambda: running.recorded() == ["1", "4"], 10)
    assert sum("cannot be recorded" in one.message for one in caplog.records) == 1
    running.recorder.close()
    assert not [path for path in (tmp_path / "unfinished").rglob("*") if path.is_file()]


def test_a_disk_that_fails_in_the_middle_leaves_nothing_behind(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROOM_SECONDS", 0.05)
    running = Running(tmp_path)
    running.begin()

    def fail(self: SegmentWriter) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(SegmentWriter, "flush", fail)
        running.record(1, film)
        wait_for(lambda: any(isinstance(one, RecorderStatus) and one.reason for one in running.news), 10)
    wait_for(lambda: running.news[-1] == RecorderStatus("", None), 10)
    assert not list(tmp_path.rglob("*.packets"))
    running.record(2, film, offset_seconds=10.0)
    wait_for(lambda: running.recorded() == ["2"], 10)
    running.recorder.close()


def test_leftovers_of_streams_that_are_gone_are_finished(film: Path, tmp_path: Path) -> None:
    killed = Recorded(tmp_path)
    feed(killed.ring, film)
    killed.tell(told(1.5, 2.0))
    news: list[News] = []
    finish_leftovers(killed.options, ["cam"], news.append, killed.stream._limits)
    assert news == []
    finish_leftovers(killed.options, [], news.append, killed.stream._limits)
    assert [type(one) for one in news] == [Recording] and killed.unfinished == []
    # The index is lost: the files say themselves what they are.
    store = RecordingStore(tmp_path, 1e6, 10)
    assert store.find([told(1.5, 2.0).id]) == {told(1.5, 2.0).id: news[0]}
    store.close()


def test_packets_are_held_for_as_long_as_the_rules_need() -> None:
    options = RecordOptions(Path("unused"))
    rules = parse_rules("rules: [{name: a, actions: [1], min_seconds: 4}, {name: b, dwell_seconds: 60}]")
    assert buffer_seconds(options, rules, 1.0) == 5 + 60 + 2 + module.MARGIN_SECONDS
    assert buffer_seconds(replace(options, buffer_seconds=30), rules, 1.0) == 30
