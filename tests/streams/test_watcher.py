"""Many streams on one engine: a slow stream delays no other, and results do not depend on the other streams."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from memvit.boxes import open_boxes
from memvit.datasets.long_cue import Scene, write_video
from memvit.engine.engine import Engine
from memvit.models import MODELS
from memvit.results.result import Result
from memvit.runtime.device_errors import DeviceLost, device_answers
from memvit.streams.group import ReaderGroup, StreamEnded, StreamFailed
from memvit.streams.policy import LivePolicy
from memvit.streams.watcher import ClipResult, StreamEvent, Watcher
from memvit.types import Clip
from memvit.video.sources.decoded_frame import DecodedFrame
from memvit.video.sources.open import open_source
from memvit.video.sources.realtime import RealtimeSource
from memvit.video.sources.source import Frame, Source
from tests.processes import wait_for
from tests.streams.fakes import Clock, Hang, Script, Video

PREPROCESSING = MODELS["memvit_tiny_8x4"].preprocessing


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("videos")
    for seed in range(3):
        write_video(Scene(seed=seed, seconds=6 + seed, width=128, height=96), folder / f"{seed}.mp4")
    return sorted(folder.glob("*.mp4"))


def watcher(tiny: nn.Module, **options: int) -> Watcher:
    return Watcher(Engine(tiny, PREPROCESSING), open_boxes("full"), **options)  # type: ignore[arg-type]


def results(events: Iterator[StreamEvent]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = defaultdict(list)
    for item in events:
        assert not isinstance(item, StreamFailed), item
        if isinstance(item, ClipResult):
            found[item.stream_id].append(item.result)
    return found


def alone(tiny: nn.Module, video: Path) -> list[Result]:
    made = watcher(tiny)
    made.add("alone", str(video))
    return results(made.events())["alone"]


def same(found: list[Result], wanted: list[Result], *, exactly: bool) -> None:
    assert [result.centre_seconds for result in found] == [result.centre_seconds for result in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.memory_offsets_seconds == other.memory_offsets_seconds
        if exactly:
            assert np.array_equal(one.scores, other.scores)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 4])
def test_streams_added_and_removed_change_nothing_for_the_others(
    tiny: nn.Module, videos: list[Path], batch: int
) -> None:
    """In batches of one, bit for bit; in larger ones, to rounding."""
    made = watcher(tiny, max_batch_clips=batch)
    made.add("a", str(videos[2]))
    made.add("gone", str(videos[0]))
    found: dict[str, list[Result]] = defaultdict(list)
    is_added = False
    for item in made.events():
        if isinstance(item, ClipResult):
            found[item.stream_id].append(item.result)
            if item.stream_id == "a" and len(found["a"]) == 3:
                made.remove("gone")
                made.add("late", str(videos[1]))
                is_added = True
    assert is_added and 0 < len(found["gone"]) < 6
    same(found["a"], alone(tiny, videos[2]), exactly=batch == 1)
    same(found["late"], alone(tiny, videos[1]), exactly=batch == 1)


def test_reused_stream_name_starts_without_memory(tiny: nn.Module, videos: list[Path]) -> None:
    made = watcher(tiny)
    made.add("a", str(videos[0]))
    results(made.events())
    made.add("a", str(videos[1]))
    same(results(made.events())["a"], alone(tiny, videos[1]), exactly=True)
    made.add("b", str(videos[0]))
    with pytest.raises(ValueError, match="there is a stream b already"):
        made.add("b", str(videos[0]))
    made.close()


def test_memory_is_not_carried_over_a_new_session(tiny: nn.Module) -> None:
    clock = Clock()
    made = watcher(tiny)
    made.add("a", "", connect=Script(clock, [Video(5), Video(5, 5, size=(48, 64))], is_live=False))
    found = results(made.events())["a"]
    sessions = [result.session for result in found]
    first = sessions.index(1)
    assert 3 <= first < len(found)
    assert found[first - 1].memory_clips > 0 and found[first].memory_clips == 0
    assert [result.clip_index for result in found[first:]] == list(range(len(found) - first))


class Slow(Source):
    """A source that needs a given time for every frame."""

    def __init__(self, source: Source, seconds: float) -> None:
        self._source, self._seconds = source, seconds
        self.info, self.counts = source.info, source.counts

    def __next__(self):  # type: ignore[no-untyped-def]
        time.sleep(self._seconds)
        return next(self._source)

    def close(self) -> None:
        self._source.close()


def test_slow_stream_does_not_delay_others(tiny: nn.Module, videos: list[Path]) -> None:
    made = watcher(tiny)
    made.add("slow", "", connect=lambda: Slow(open_source(videos[0]), 0.05), is_live=False)
    made.add("fast", str(videos[2]))
    order = []
    for item in made.events():
        if isinstance(item, StreamEnded):
            order.append(item.stream_id)
            break
    assert order == ["fast"]
    made.close()


class Stub:
    """A replacement for the engine that records its batches, for tests that need no model."""

    wants_boxes = False
    preprocessing = PREPROCESSING

    class device:
        type = "cpu"

    def __init__(self, work: Callable[[list[Clip]], None] = lambda clips: None) -> None:
        self.batches: list[list[str]] = []
        self._work = work

    def step(self, clips: list[Clip], boxes: object = None) -> list[Result]:
        self.batches.append([clip.stream_id for clip in clips])
        self._work(clips)
        nothing = np.zeros((1, 80), np.float32)
        return [
            Result(
                clip.stream_id,
                clip.index,
                clip.centre_seconds,
                clip.start_seconds,
                clip.end_seconds,
                None,
                nothing,
                missed_clips=clip.missed_clips,
            )
            for clip in clips
        ]

    def forget(self, stream_id: str) -> None:
        pass


def test_streams_take_fair_turns_in_batches(videos: list[Path]) -> None:
    """Five streams always have a clip ready and a batch has two places: each is in every third batch at the latest."""

    def wait_until_all_are_ready(clips: list[Clip]) -> None:
        wait_for(lambda: all(reader.waiting_since is not None for reader in made.streams.values()), 20)

    stub = Stub(wait_until_all_are_ready)
    made = Watcher(stub, max_batch_clips=2)  # type: ignore[arg-type]
    for number in range(5):
        made.add(str(number), str(videos[2]))
    wait_until_all_are_ready([])
    list(made.events())
    counts = Counter(name for batch in stub.batches for name in batch)
    assert set(counts.values()) == {8} and all(len(batch) == len(set(batch)) <= 2 for batch in stub.batches)
    for name in counts:
        turns = [place for place, batch in enumerate(stub.batches) if name in batch]
        assert max(np.diff([0, *turns])) <= 3, (name, stub.batches)


def test_late_clips_are_dropped_after_the_model_stalls(videos: list[Path]) -> None:
    stalls = iter([0.0, 0.0, 2.5])
    stub = Stub(lambda clips: time.sleep(next(stalls, 0.0)))
    made = Watcher(stub, hop_seconds=0.2)  # type: ignore[arg-type]
    policy = LivePolicy(max_age_seconds=0.5, queue_clips=4)
    open_realtime = lambda: RealtimeSource(open_source(videos[2]), partial(open_source, videos[2]))  # noqa: E731
    reader = made.add("a", "", connect=open_realtime, is_live=True, policy=policy)
    found = []
    stopping = threading.Event()
    for item in made.events(stopping):
        if isinstance(item, ClipResult):
            found.append(item.result)
            if len(found) == 16:
                stopping.set()
    made.close()
    missed = [result.missed_clips for result in found]
    assert max(missed) >= 5 and sum(missed) == reader.stats.missed_clips
    assert reader.stats.late_clips == sum(missed)
    assert [result.clip_index for result in found] == list(range(16))
    assert found[-1].latency is not None and found[-1].latency.seconds < 0.5


def test_model_error_on_a_clip_fails_only_its_stream(videos: list[Path]) -> None:
    def refuse(clips: list[Clip]) -> None:
        if any(clip.stream_id == "bad" and clip.index == 2 for clip in clips):
            raise RuntimeError("out of memory")

    made = Watcher(Stub(refuse))  # type: ignore[arg-type]
    made.add("bad", str(videos[0]))
    made.add("good", str(videos[0]))
    events = list(made.events())
    (failed,) = [item for item in events if isinstance(item, StreamFailed)]
    assert failed.reason == "bad: the model cannot answer (out of memory)"
    assert sum(isinstance(item, ClipResult) and item.stream_id == "good" for item in events) == 6


@pytest.mark.parametrize("error", [RuntimeError, torch.AcceleratorError])
def test_failed_device_raises_once_and_blames_no_stream(
    videos: list[Path], monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(clips: list[Clip]) -> None:
        raise error("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be reported later")

    monkeypatch.setattr("memvit.streams.watcher.device_answers", lambda device: False)
    stub = Stub(fail)
    made = Watcher(stub)  # type: ignore[arg-type]
    for name in "ab":
        made.add(name, str(videos[0]))
    with pytest.raises(DeviceLost, match=r"does not recover \(CUDA error: an illegal memory access was encountered\)"):
        list(made.events())
    assert len(stub.batches) == 1 and set(made.streams) == {"a", "b"}, "nothing was tried again, no stream was blamed"
    made.close()


def test_error_on_a_working_device_fails_only_its_stream(videos: list[Path]) -> None:
    def fail(clips: list[Clip]) -> None:
        if any(clip.stream_id == "bad" for clip in clips):
            raise torch.AcceleratorError("CUDA error: invalid configuration argument")

    made = Watcher(Stub(fail))  # type: ignore[arg-type]
    for name in ("bad", "good"):
        made.add(name, str(videos[0]))
    events = list(made.events())
    assert [item.stream_id for item in events if isinstance(item, StreamFailed)] == ["bad"]
    assert sum(isinstance(item, ClipResult) for item in events) == 6


@pytest.mark.parametrize(
    ("error", "answers"), [(torch.OutOfMemoryError("full"), True), (torch.AcceleratorError("CUDA error"), False)]
)
def test_device_is_checked_by_a_computation(monkeypatch: pytest.MonkeyPatch, error: Exception, answers: bool) -> None:
    def fail(*sizes: int, device: torch.device) -> torch.Tensor:
        raise error

    assert device_answers(torch.device("cpu"))
    assert not device_answers(torch.device("meta")), "it holds no numbers"
    monkeypatch.setattr(torch, "ones", fail)
    assert device_answers(torch.device("cuda")) == answers


def test_a_watcher_that_waits_can_be_woken() -> None:
    made = Watcher(Stub())  # type: ignore[arg-type]
    threading.Timer(0.05, made.wake).start()
    began = time.monotonic()
    assert made.step(timeout_seconds=20) == []
    assert time.monotonic() - began < 10


def test_latency_ignores_changes_of_the_wall_clock(
    tiny: nn.Module, videos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """NTP sets the time back by an hour while a stream runs."""
    wall = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(wall)))
    made = watcher(tiny)
    made.add("a", str(videos[0]))
    for result in results(made.events())["a"]:
        assert result.latency is not None
        parts = result.latency
        assert 0 <= parts.decode_seconds < 5 and 0 <= parts.queue_seconds < 5 and 0 < parts.model_seconds < 5
        assert parts.seconds == pytest.approx(
            parts.decode_seconds + parts.queue_seconds + parts.boxes_seconds + parts.model_seconds
        )


def test_live_results_have_the_time_of_day_of_their_centre_and_those_of_files_have_none(videos: list[Path]) -> None:
    began = time.time()
    made = Watcher(Stub())  # type: ignore[arg-type]
    made.add("file", str(videos[0]))
    made.add("live", str(videos[0]), is_live=True, policy=LivePolicy(overflow="wait"))
    found: dict[str, list[Result]] = {"file": [], "live": []}
    while len(found["file"]) < 6 or len(found["live"]) < 4:  # a live source whose connection ends is opened again
        for item in made.step():
            if isinstance(item, ClipResult):
                found[item.stream_id].append(item.result)
    made.close()
    assert {result.centre_unix for result in found["file"]} == {None}
    for result in found["live"]:
        assert result.centre_unix is not None
        arrived = result.centre_unix + (result.end_seconds - result.centre_seconds)
        assert began <= arrived <= time.time()


@pytest.mark.parametrize(("ahead_seconds", "is_used"), [(30.0, True), (-5000.0, False)])
def test_the_clock_of_a_live_source_is_used_if_it_is_set(
    videos: list[Path], ahead_seconds: float, is_used: bool
) -> None:
    class Clocked(Source):
        """A camera whose frames say when they were taken."""

        def __init__(self) -> None:
            self._source = open_source(videos[0])
            self.info, self.counts = self._source.info, self._source.counts
            self._began = time.time() + ahead_seconds

        def __next__(self) -> Frame:
            frame = next(self._source)
            assert isinstance(frame, DecodedFrame)
            return replace(frame, captured_unix=self._began + frame.pts_seconds)

        def close(self) -> None:
            self._source.close()

    sources: list[Clocked] = []

    def connect() -> Source:
        sources.append(Clocked())
        return sources[-1]

    made = Watcher(Stub())  # type: ignore[arg-type]
    made.add("live", "", connect=connect, is_live=True, policy=LivePolicy(overflow="wait"))
    result = next(item.result for item in made.events() if isinstance(item, ClipResult))
    made.close()
    assert result.centre_unix is not None
    captured = sources[0]._began + result.centre_seconds
    assert (result.centre_unix == pytest.approx(captured, abs=0.01)) is is_used
    assert is_used or abs(result.centre_unix - time.time()) < 60


def test_ended_streams_leave_no_state_behind() -> None:
    """Queues, groups and the watcher hold nothing of streams that have ended."""
    group: ReaderGroup = ReaderGroup()
    clock = Clock()
    made = Watcher(Stub(), hop_seconds=0.1)  # type: ignore[arg-type]
    for _ in range(50):
        made.add("a", "", connect=Script(clock, [Video(2)], is_live=False))
        assert sum(isinstance(item, ClipResult) for item in made.events()) >= 15
    assert not made.streams and not made._group._served_at and not made._group._readers
    assert len(group) == 0


@pytest.mark.parametrize("is_removed", [False, True])
def test_close_waits_for_the_readers(is_removed: bool) -> None:
    """A thread that is left to compute makes the process abort when Python ends."""
    hang = Hang()
    made = Watcher(Stub())  # type: ignore[arg-type]
    stream_id = f"closed {is_removed}"
    made.add(stream_id, "", connect=Script(Clock(), [hang, Video(2)], is_live=False))
    assert hang.reached.wait(10)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == f"read {stream_id}"]
    if is_removed:
        made.remove(stream_id)
    threading.Timer(0.1, hang.released.set).start()
    made.close()
    assert hang.released.is_set() and not thread.is_alive()


def test_close_waits_a_short_time_for_a_reader_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memvit.streams.group.CLOSE_SECONDS", 0.1)
    hang = Hang()
    made = Watcher(Stub())  # type: ignore[arg-type]
    made.add("slow", "", connect=Script(Clock(), [hang], is_live=False))
    assert hang.reached.wait(10)
    made.close()
    assert not hang.released.is_set()
    hang.released.set()


def test_failure_of_one_frame_size_does_not_affect_other_sizes(tiny: nn.Module) -> None:
    """Two sizes in one step; the engine fails on one of them after the other was answered."""
    clock = Clock()
    made = watcher(tiny)
    answer = made.engine._run

    def refuse(clips: list[Clip], boxes: object) -> object:
        if clips[0].frames.shape[1] > clips[0].frames.shape[2] and clips[0].index == 2:
            raise RuntimeError("out of memory")
        return answer(clips, boxes)  # type: ignore[arg-type]

    made.engine._run = refuse  # type: ignore[method-assign]
    made.add("good", "", connect=Script(clock, [Video(6)], is_live=False), is_live=False)
    made.add("bad", "", connect=Script(clock, [Video(6, size=(48, 64))], is_live=False), is_live=False)
    events = list(made.events())
    assert [item.stream_id for item in events if isinstance(item, StreamFailed)] == ["bad"]
    assert sum(isinstance(item, ClipResult) and item.stream_id == "good" for item in events) == 6
