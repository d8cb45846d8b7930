"""The plan of an epoch is a function of seed, epoch and step."""

from __future__ import annotations

import pytest

from memvit.datasets.sampling import epoch_batches, mixed_seed, steps_per_epoch


def test_every_sample_once_in_another_order_each_epoch() -> None:
    epochs = [list(epoch_batches(20, 5, seed=1, epoch=epoch)) for epoch in range(2)]
    for batches in epochs:
        assert [len(batch) for batch in batches] == [5] * 4
        assert sorted(draw.index for batch in batches for draw in batch) == list(range(20))
    assert [d.index for b in epochs[0] for d in b] != [d.index for b in epochs[1] for d in b]


def test_an_epoch_begun_in_the_middle_is_the_rest_of_the_whole() -> None:
    whole = list(epoch_batches(20, 5, seed=1, epoch=3))
    assert list(epoch_batches(20, 5, seed=1, epoch=3, first_step=2)) == whole[2:]


@pytest.mark.parametrize(("size", "batch_size"), [(24, 6), (24, 8), (4, 8)])
def test_processes_share_every_batch(size: int, batch_size: int) -> None:
    whole = list(epoch_batches(size, batch_size, seed=1, epoch=0))
    shares = [list(epoch_batches(size, batch_size, seed=1, epoch=0, rank=rank, world_size=3)) for rank in range(3)]
    assert all(batch for share in shares for batch in share), "every process has something to do"
    assert [[draw for part in parts for draw in part] for parts in zip(*shares, strict=True)] == whole


def test_less_than_a_batch_is_one_step() -> None:
    assert steps_per_epoch(3, 8) == 1
    assert [len(batch) for batch in epoch_batches(3, 8, seed=0, epoch=0)] == [3]


def test_near_seeds_are_unrelated() -> None:
    seeds = {mixed_seed(a, b) for a in range(50) for b in range(50)}
    assert len(seeds) == 2500
