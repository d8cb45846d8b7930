"""Recordings after `kill -9` at every frame equal those of a run that was never interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import pytest

from memvit.events.event import EventState
from memvit.video.limits import DEFAULT_LIMITS
from memvit.video.packets import PacketRing
from memvit.video.sources.open import open_source
from memvit.video.sources.source import Frame
from pipelines.record.stream import StreamRecording
from tests.pipelines.record.made import RATE, Recorded, images, told
from tests.video import make

SECONDS = 16
HELD_SECONDS = 7.0
LATE_SECONDS = 0.5
"""From the centre of a clip until it is answered."""
BEFORE, AFTER, LONGEST = 1.5, 1.2, 6.0
EVENTS = {
    1: (3, 3, 5, 7),
    2: (4, 6, 12, 14),  # known two seconds after its start, and longer than what is recorded
    3: (9, 9, 10, 11),
    4: (12, 13, 15, 16),  # until the end of the film
}
"""Number of an event → seconds of its first clip, of the clip with which it is told, of its last clip, of its end."""


def told_at(centre: int) -> Iterator[tuple[int, int, EventState]]:
    """(number, seconds of the last clip, state) of the events that are told with a clip."""
    for number, (_, known, last, end) in EVENTS.items():
        if known <= centre <= last:
            yield number, centre, "new" if centre == known else "update"
        elif centre == end:
            yield number, last, "end"


@dataclass
class State:
    """What is saved of a stream: the last clip that was answered, and the events that go on."""

    centre: int | None = None
    open_ids: set[str] = field(default_factory=set)


@dataclass
class Run:
    """A server from its start to the end of the film, or to a kill."""

    recorded: Recorded
    state: State
    step_frames: int
    """The recorder writes after so many frames, and with each clip."""
    saved: list[State] = field(default_factory=list)
    """The states after each clip."""

    def run(self, film: Path, kill_after_seconds: float = float("inf")) -> bool:
        """False if it was killed."""
        recorded, ring = self.recorded, PacketRing(HELD_SECONDS, 10**8)
        recorded.ring = ring
        recorded.stream = StreamRecording("cam", recorded.options, DEFAULT_LIMITS, ring, replaces=False)
        centre, goes_on = self.state.centre, self.state.centre is not None
        recorded.stream.adopt(sorted(self.state.open_ids), recorded.news.append, goes_on=goes_on)
        begin = 0.0 if centre is None else max(0.0, centre - HELD_SECONDS)
        next_centre = 0 if centre is None else centre + 1
        with open_source(film, packets=ring, decoder_threads=1, from_seconds=begin) as source:
            for place, frame in enumerate(source):
                if frame.pts_seconds > kill_after_seconds:
                    return False
                self._read(frame)
                while next_centre + LATE_SECONDS <= frame.pts_seconds:
                    self._answer(next_centre)
                    next_centre += 1
                if place % self.step_frames == 0:
                    recorded.step()
        for late in range(next_centre, SECONDS + 1):
            self._answer(late)
        recorded.over()
        return True

    def _read(self, frame: Frame) -> None:
        self.recorded.ring.place(frame.container_seconds, frame.pts_seconds)

    def _answer(self, centre: int) -> None:
        self.recorded.stream.answered(centre)
        open_ids = set(self.state.open_ids)
        for number, last, state in told_at(centre):
            event = told(EVENTS[number][0], last, state, number=number)
            self.recorded.stream.tell(event, None)
            (open_ids.discard if state == "end" else open_ids.add)(event.id)
        self.state = State(centre, open_ids)
        self.saved.append(self.state)


def shown(recorded: Recorded) -> dict[int, tuple[float, list[float]]]:
    """Of each event: where it begins in its video, and the times of the frames."""
    found = {}
    for number in EVENTS:
        with av.open(str(recorded.file(number))) as video:
            frames = list(video.decode(video=0))
        assert not any(frame.is_corrupt for frame in frames)
        before = [one.before_seconds for one in recorded.news if int(one.event_id, 16) == number][-1]
        found[number] = round(before, 3), [round(float(frame.time or 0.0), 3) for frame in frames]
    return found


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    return make.write(path, images(SECONDS), rate=RATE, g="8", bf="3", preset="ultrafast")


@pytest.fixture(scope="module")
def undisturbed(film: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[float, list[float]]]:
    recorded = Recorded(
        tmp_path_factory.mktemp("whole"), before_seconds=BEFORE, after_seconds=AFTER, max_seconds=LONGEST
    )
    assert Run(recorded, State(), 1).run(film)
    found = shown(recorded)
    for number, (first, _, last, _) in EVENTS.items():
        end = min(last + AFTER, first - BEFORE + LONGEST, SECONDS)
        before, times = found[number]
        assert before >= BEFORE - 0.001
        assert times[-1] + 2 / RATE > end - first + before, number
    return found


def check(film: Path, undisturbed: dict[int, tuple[float, list[float]]], folder: Path, kill: int) -> None:
    """Kill it after a frame, with a state that is up to two clips old, and a recorder that is late."""
    for age, step_frames in ((0, 1), (1, 3), (2, 25)):
        recorded = Recorded(folder / f"{kill}-{age}", before_seconds=BEFORE, after_seconds=AFTER, max_seconds=LONGEST)
        first = Run(recorded, State(), step_frames)
        first.run(film, kill / RATE)
        states = [State(), *first.saved]
        assert Run(recorded, states[max(0, len(states) - 1 - age)], step_frames).run(film)
        assert shown(recorded) == undisturbed, (kill, age)
        assert recorded.unfinished == []


@pytest.mark.parametrize("kill", [74, 93, 139, 155])
def test_a_kill_takes_nothing_from_a_recording(
    kill: int, film: Path, undisturbed: dict[int, tuple[float, list[float]]], tmp_path: Path
) -> None:
    check(film, undisturbed, tmp_path, kill)


@pytest.mark.slow
def test_no_kill_takes_anything_from_a_recording(
    film: Path, undisturbed: dict[int, tuple[float, list[float]]], tmp_path: Path
) -> None:
    for kill in range(1, SECONDS * RATE - 1):
        check(film, undisturbed, tmp_path, kill)
