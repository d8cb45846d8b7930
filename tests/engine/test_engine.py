"""Many streams, one model: batches change nothing, memories never mix, order is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from memvit.engine.engine import Engine
from memvit.models import MODELS, Preprocessing, create_model
from memvit.models.preprocessing import model_input
from memvit.results.result import Result
from memvit.runtime.memory_pool import MemoryPool
from memvit.types import Clip, MemvitError, PersonBoxes

PREPROCESSING = MODELS["memvit_tiny_8x4"].preprocessing


def clip(stream: str, index: int, width: int = 64) -> Clip:
    generator = np.random.default_rng([*stream.encode(), index])
    frames = generator.integers(256, size=(8, 64, width, 3), dtype=np.uint8)
    return Clip(stream, index, float(index), index - 0.5, index + 0.5, frames)


def people(count: int) -> PersonBoxes:
    corners = np.linspace(0, 0.4, count, dtype=np.float32)[:, None]
    return PersonBoxes(np.hstack([corners, corners, corners + 0.4, corners + 0.5]), np.ones(count, np.float32))


def alone(model: nn.Module, stream: str, clips: int, count: int) -> list[Result]:
    engine = Engine(model, PREPROCESSING)
    return [engine.step([clip(stream, index)], [people(count)])[0] for index in range(clips)]


def test_streams_that_come_and_go_get_the_results_they_would_get_alone(tiny: nn.Module) -> None:
    """b joins late, c has another frame size and no people, a ends early."""
    counts = {"a": 1, "b": 3, "c": 0, "d": 2}
    starts = {"a": 0, "b": 3, "c": 1, "d": 0}
    ends = {"a": 6, "b": 9, "c": 9, "d": 9}
    engine = Engine(tiny, PREPROCESSING)
    together: dict[str, list[Result]] = {name: [] for name in counts}
    for step in range(9):
        present = [name for name in counts if starts[name] <= step < ends[name]]
        clips = [clip(name, step - starts[name], 96 if name == "c" else 64) for name in present]
        for result in engine.step(clips, [people(counts[name]) for name in present]):
            together[result.stream_id].append(result)
    for name in "abd":
        expected = alone(tiny, name, ends[name] - starts[name], counts[name])
        assert [result.clip_index for result in together[name]] == list(range(len(expected)))
        for found, wanted in zip(together[name], expected, strict=True):
            np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-5)
            assert found.memory_offsets_seconds == wanted.memory_offsets_seconds
    assert [result.scores.shape for result in together["c"]] == [(0, 80)] * 8


def test_a_result_says_what_was_remembered(tiny: nn.Module) -> None:
    results = alone(tiny, "a", 6, 1)
    assert [result.memory_clips for result in results] == [0, 1, 2, 3, 4, 4]
    assert [result.memory_offsets_seconds for result in results] == [(), (), (2.0,), (2.0,), (2.0, 4.0), (2.0, 4.0)]


def test_a_forgotten_stream_leaves_nothing_to_its_successor(tiny: nn.Module) -> None:
    engine = Engine(tiny, PREPROCESSING)
    for index in range(5):
        engine.step([clip("a", index)], [people(2)])
    engine.forget("a")
    again = [engine.step([clip("a", index)], [people(2)])[0] for index in range(4)]
    for found, wanted in zip(again, alone(tiny, "a", 4, 2), strict=True):
        assert np.array_equal(found.scores, wanted.scores)


def test_without_memory_each_clip_stands_alone(tiny: nn.Module) -> None:
    engine = Engine(tiny, PREPROCESSING, remember=False)
    results = [engine.step([clip("a", index)], [people(1)])[0] for index in range(4)]
    assert results[-1].memory_clips == 0
    assert np.abs(results[-1].scores - alone(tiny, "a", 4, 1)[-1].scores).max() > 1e-3
    engine.forget("a")
    first = Engine(tiny, PREPROCESSING)
    lone = Clip("a", 0, 3.0, 2.5, 3.5, clip("a", 3).frames)
    np.testing.assert_allclose(first.step([lone], [people(1)])[0].scores, results[-1].scores, atol=1e-6)


def test_clips_out_of_order_are_refused(tiny: nn.Module) -> None:
    engine = Engine(tiny, PREPROCESSING)
    engine.step([clip("a", 0)], [people(1)])
    for index in (0, 2):
        with pytest.raises(ValueError, match=f"stream a: clip 1 is next, got clip {index}"):
            engine.step([clip("a", index)], [people(1)])
    with pytest.raises(ValueError, match="at most one clip of a stream"):
        engine.step([clip("a", 1), clip("a", 2)], [people(1), people(1)])
    with pytest.raises(ValueError, match="pass their boxes"):
        engine.step([clip("a", 1)])


def test_model_input_normalises_each_channel() -> None:
    frames = torch.zeros(1, 2, 3, 4, 3, dtype=torch.uint8)
    frames[..., 0], frames[..., 2] = 255, 51
    rgb = Preprocessing(2, 1, mean=(0.4, 0.5, 0.1), std=(0.2, 0.25, 0.5))
    images = model_input(frames, rgb)
    assert images.shape == (1, 3, 2, 3, 4)
    assert torch.allclose(images[0, :, 0, 0, 0], torch.tensor([3.0, -2.0, 0.2]))
    bgr = Preprocessing(2, 1, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), channels="bgr")
    assert torch.allclose(model_input(frames, bgr)[0, :, 0, 0, 0], torch.tensor([0.2, 0.0, 1.0]))


def test_a_snapshot_of_another_model_or_size_is_refused_by_the_next_clip(tiny: nn.Module) -> None:
    engine = Engine(tiny, PREPROCESSING)
    engine.step([clip("a", 0)], [people(1)])
    snapshot = engine.snapshot("a")
    other = Engine(tiny, PREPROCESSING)
    other.restore("a", snapshot)
    with pytest.raises(ValueError, match="the memory is of another model or input size"):
        other.step([clip("a", 1, width=96)], [people(1)])
    assert other.step([clip("a", 1)], [people(1)])[0].memory_clips == 1, "it was not lost"
    with pytest.raises(ValueError, match="which its memory does not fit; forget the stream first"):
        other.step([clip("a", 2, width=96)], [people(1)])


def kept_of(engine: Engine, name: str) -> list[object]:
    """All that the engine keeps of a stream."""
    snapshot = engine.snapshot(name)
    assert snapshot.memory is not None
    tensors = [value for value in snapshot.memory.state_dict().values() if isinstance(value, torch.Tensor)]
    return [snapshot.next_index, snapshot.centres_seconds, *(tensor.numpy().tobytes() for tensor in tensors)]


@pytest.mark.parametrize(("owner", "method"), [(Engine, "_result"), (MemoryPool, "prepare")])
def test_after_an_error_the_same_clips_can_be_passed_again(
    tiny: nn.Module, monkeypatch: pytest.MonkeyPatch, owner: type, method: str
) -> None:
    """Two sizes in a batch; the error comes with the second of them. Memory, indices and centres stay as they were."""
    engine, undisturbed = Engine(tiny, PREPROCESSING), Engine(tiny, PREPROCESSING)
    original, calls = getattr(owner, method), 0

    def fail_at_the_second_call(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("out of memory")
        return original(*arguments)

    boxes = [people(1), people(2)]
    for index in range(4):
        clips = [clip("a", index), clip("b", index, width=96)]
        before = [kept_of(engine, name) for name in "ab"] if index else []
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="out of memory"):
            calls = 0
            patch.setattr(owner, method, fail_at_the_second_call)
            engine.step(clips, boxes)
        assert not index or [kept_of(engine, name) for name in "ab"] == before
        for found, wanted in zip(engine.step(clips, boxes), undisturbed.step(clips, boxes), strict=True):
            assert np.array_equal(found.scores, wanted.scores)
            assert found.memory_offsets_seconds == wanted.memory_offsets_seconds


def test_boxes_are_placed_by_the_size_of_the_source(tiny: nn.Module) -> None:
    """As the reference places them: one factor for both axes, nothing beyond the last pixel."""
    person = PersonBoxes(np.array([[0.25, 0.5, 0.75, 1.0]], dtype=np.float32), np.ones(1, np.float32))
    shown = replace(clip("a", 0, width=85), source_size=(640, 480))
    factor = 85 / 640
    pixels = torch.tensor([[160 * factor, 240 * factor, 480 * factor, 63.0]])  # 479 · 85/640 is beyond
    images = model_input(torch.from_numpy(shown.frames[None]), PREPROCESSING)
    with torch.inference_mode():
        expected = tiny(images, [pixels])[0].sigmoid().numpy()
    np.testing.assert_allclose(Engine(tiny, PREPROCESSING).step([shown], [person])[0].scores, expected, atol=1e-5)


def test_scores_that_are_not_finite_are_an_error_and_change_no_memory() -> None:
    model = create_model("memvit_tiny_8x4")
    with torch.no_grad():
        model.head.projection.bias[3] = float("nan")
    engine = Engine(model, PREPROCESSING)
    for _ in range(2):  # the same clip again: nothing was written
        with pytest.raises(MemvitError, match="a: the model's scores for the clip at 0 s are not finite numbers"):
            engine.step([clip("a", 0)], [people(1)])
    assert engine.step([clip("b", 0)], [people(0)])[0].scores.shape == (0, 80)
