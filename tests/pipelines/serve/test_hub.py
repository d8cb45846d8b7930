"""What clients are told of a stream: numbers of people, latencies, and the clips that can be drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from memvit.labels import Labels
from memvit.results.result import Latency, Result
from memvit.streams.watcher import ClipResult
from memvit.types import Clip, PersonBoxes, PreviewFrame
from pipelines.serve import hub as hub_module
from pipelines.serve.hub import EventHub

IMAGE = np.zeros((4, 6, 3), np.uint8)
LEFT, RIGHT = [0.0, 0.0, 0.3, 1.0], [0.6, 0.0, 0.9, 1.0]


def answered(index: int, boxes: Sequence[Sequence[float]], persons: list[int], seconds: float = 0.1) -> ClipResult:
    preview = (PreviewFrame(float(index), IMAGE),)
    clip = Clip("a", index, index, index, index, np.zeros((3, 4, 6, 3), np.uint8), (6, 4), IMAGE, preview)
    people = PersonBoxes(
        np.array(boxes, np.float32),
        np.ones(len(boxes), np.float32),
        np.array(persons, dtype=np.int64),
    )
    latency = Latency(0.0, 0.0, 0.0, seconds)
    scores = np.full((len(boxes), 2), 0.5, np.float32)
    return ClipResult(clip, Result("a", index, index, index, index, people, scores, latency=latency))


def a_hub() -> EventHub:
    return EventHub(Labels(("run", "sit")), top_k=1, hop_seconds=1.0)


def persons_told(hub: EventHub) -> list[Any]:
    events = hub._histories["a"].events
    return [person["person"] for person in json.loads(events[-1].data)["people"]]


def test_clients_get_the_numbers_of_the_pictures() -> None:
    hub = a_hub()
    hub.publish(answered(0, [LEFT, RIGHT], [7, -1]))
    last = hub.last("a")
    assert last is not None and last.result.boxes is not None and last.result.boxes.persons is not None
    assert persons_told(hub) == [7, None] and last.result.boxes.persons.tolist() == [7, -1]


def test_the_latency_of_the_start_is_forgotten_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(hub_module.time, "monotonic", lambda: now)
    hub = a_hub()
    for second in range(62):
        now = float(second)
        hub.publish(answered(second, [LEFT], [1], seconds=9.0 if second == 0 else 0.1))
        latency = hub.performance("a")["latency_seconds"]
        assert latency["p50"] == pytest.approx(9.0 if second == 0 else 0.1, abs=4.5 if second == 1 else 1e-6)
        assert (latency["p99"] > 0.2) == (second <= 60)
    now = 500.0  # the stream has ended: its last numbers stay
    assert hub.performance("a")["latency_seconds"]["p99"] == pytest.approx(0.1)


def test_a_clip_is_drawn_when_the_way_of_its_people_is_known() -> None:
    hub = a_hub()
    first, second = answered(0, [LEFT], [1]), answered(1, [RIGHT], [1])
    hub.publish(first)
    assert hub.drawable("a") is None and hub.drawable("unknown") is None
    hub.publish(second)
    found = hub.drawable("a")
    assert found is not None and found[0].result.clip_index == 0 and found[1] is hub.last("a").result  # type: ignore[union-attr]
    assert first.result.boxes is not None
    trail = ((1.9, first.result.boxes),)
    hub.publish(replace(second, result=replace(second.result, clip_index=2, trail=trail)))
    found = hub.drawable("a")
    assert found is not None and found[0].result.clip_index == 2 and found[1] is None


def test_a_stream_that_nobody_looks_at_keeps_one_small_picture() -> None:
    hub = a_hub()
    unseen = answered(0, [LEFT], [1])
    hub.publish(replace(unseen, clip=replace(unseen.clip, preview=())))
    last = hub.last("a")
    assert last is not None and not last.clip.frames.size and last.clip.centre_image is None
    assert [frame.image.shape for frame in last.clip.preview] == [(4, 6, 3)]
    cropped = replace(unseen, clip=replace(unseen.clip, preview=(), source_size=None))
    hub.publish(cropped)
    last = hub.last("a")
    assert last is not None and last.clip.preview == (), "frames that show a part only do not fit the boxes"
