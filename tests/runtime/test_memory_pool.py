"""The pool of memories is the explicit memory, bit by bit, for streams that come, go and differ in age."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from memvit.models import Memory, MeMViT
from memvit.runtime.memory_pool import MemoryPool


def clip_of(stream: str, index: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1000 * ord(stream) + index)
    return torch.randn(1, 3, 8, 64, 64, generator=generator)


BOX = torch.tensor([[5.0, 5.0, 50.0, 60.0]])


@torch.inference_mode()
def alone(model: MeMViT, stream: str, clips: int) -> tuple[list[torch.Tensor], Memory]:
    memory, logits = None, []
    for index in range(clips):
        found, memory = model(clip_of(stream, index), [BOX], memory)
        logits.append(found)
    assert memory is not None
    return logits, memory


@torch.inference_mode()
def step(model: MeMViT, pool: MemoryPool, names: list[str], places: list[int]) -> torch.Tensor:
    clips = torch.cat([clip_of(name, index) for name, index in zip(names, places, strict=True)])
    output, update = model.step(clips, [BOX] * len(names), pool.view(names))
    assert update is not None
    pool.write(names, update)
    return output.logits


def equal(one: Memory, other: Memory) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(
        torch.equal(value, theirs[name]) if isinstance(value, torch.Tensor) else value == theirs[name]
        for name, value in mine.items()
    )


def test_a_pool_of_one_is_the_explicit_memory_bit_by_bit(tiny: nn.Module) -> None:
    assert isinstance(tiny, MeMViT) and tiny.config.memory is not None
    pool = MemoryPool(tiny.config.memory)
    expected, memory = alone(tiny, "a", 7)
    for index, wanted in enumerate(expected):
        assert torch.equal(step(tiny, pool, ["a"], [index]), wanted), index
        assert equal(pool.memory("a"), alone(tiny, "a", index + 1)[1])
    assert equal(pool.memory("a"), memory)


def test_streams_of_any_age_share_a_step_and_rows_are_used_again(tiny: nn.Module) -> None:
    assert isinstance(tiny, MeMViT) and tiny.config.memory is not None
    pool = MemoryPool(tiny.config.memory, capacity=2)
    lives = {"a": (0, 9), "b": (2, 5), "c": (3, 9), "d": (5, 9), "e": (5, 9)}
    expected = {name: alone(tiny, name, end - start)[0] for name, (start, end) in lives.items()}
    for time in range(9):
        for name, (_, end) in lives.items():
            if time == end:
                pool.forget(name)
        names = [name for name, (start, end) in lives.items() if start <= time < end]
        places = [time - lives[name][0] for name in names]
        for name, place, logits in zip(names, places, step(tiny, pool, names, places), strict=True):
            torch.testing.assert_close(logits[None], expected[name][place], atol=1e-5, rtol=0)
    assert len(pool) == 4 and "b" not in pool


def test_a_stream_continues_in_another_pool(tiny: nn.Module) -> None:
    assert isinstance(tiny, MeMViT) and tiny.config.memory is not None
    first, second = MemoryPool(tiny.config.memory), MemoryPool(tiny.config.memory, capacity=1)
    for index in range(3):
        step(tiny, first, ["a"], [index])
    step(tiny, second, ["b"], [0])
    second.restore("a", first.memory("a"))
    for index in range(3, 8):
        assert torch.equal(step(tiny, second, ["a"], [index]), step(tiny, first, ["a"], [index]))


def test_a_memory_of_several_streams_is_refused(tiny: nn.Module) -> None:
    assert isinstance(tiny, MeMViT) and tiny.config.memory is not None
    pool = MemoryPool(tiny.config.memory)
    memory = alone(tiny, "a", 2)[1]
    with pytest.raises(ValueError, match="a pool takes the memory of one stream"):
        pool.restore("a", Memory.stack([memory, memory]))
    with pytest.raises(KeyError):
        pool.memory("a")
    assert pool.view(["a"]) is None
