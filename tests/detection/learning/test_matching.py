"""Which object a box stands for, in cases made by hand."""

from __future__ import annotations

import torch

from memvit.detection.learning.matching import BACKGROUND, NEITHER, OBJECT, matched, sampled

OBJECTS = torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 40]])


def test_a_box_stands_for_the_object_it_overlaps_most() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 30], [0, 0, 10, 4], [50, 50, 60, 60], [20, 20, 40, 35]])
    found = matched(boxes, OBJECTS, 0.3, 0.7)
    # Overlaps: 1, 0.5, 0.4, 0, 0.75.
    assert found.kinds.tolist() == [OBJECT, NEITHER, NEITHER, BACKGROUND, OBJECT]
    assert found.objects[[0, 1, 4]].tolist() == [0, 1, 1]


def test_limits_are_at_least_and_less_than() -> None:
    half = torch.tensor([[0.0, 0, 10, 5]])
    assert matched(half, OBJECTS[:1], 0.5, 0.5).kinds.tolist() == [OBJECT]
    assert matched(half, OBJECTS[:1], 0.5, 0.6).kinds.tolist() == [NEITHER]
    assert matched(half, OBJECTS[:1], 0.51, 0.6).kinds.tolist() == [BACKGROUND]


def test_every_object_has_a_box_on_demand() -> None:
    """Two boxes overlap the second object equally, and less than enough; both stand for an object then."""
    boxes = torch.tensor([[20.0, 20, 24, 40], [36, 20, 40, 40], [22, 20, 24, 30], [0, 0, 10, 10]])
    assert matched(boxes, OBJECTS, 0.3, 0.7).kinds.tolist() == [BACKGROUND, BACKGROUND, BACKGROUND, OBJECT]
    found = matched(boxes, OBJECTS, 0.3, 0.7, every_object=True)
    assert found.kinds.tolist() == [OBJECT, OBJECT, BACKGROUND, OBJECT]
    assert found.objects.tolist() == [1, 1, 1, 0]


def test_a_box_that_is_best_for_one_object_keeps_another_that_it_overlaps_more() -> None:
    objects = torch.tensor([[0.0, 0, 10, 10], [8, 0, 30, 10]])
    found = matched(torch.tensor([[0.0, 0, 10, 10]]), objects, 0.3, 0.7, every_object=True)
    assert (found.kinds.tolist(), found.objects.tolist()) == ([OBJECT], [0])


def test_an_object_that_no_box_touches_makes_no_box_its_own() -> None:
    found = matched(torch.tensor([[100.0, 100, 110, 110]]), OBJECTS, 0.3, 0.7, every_object=True)
    assert found.kinds.tolist() == [BACKGROUND]


def test_without_objects_all_is_background() -> None:
    found = matched(OBJECTS, torch.zeros(0, 4), 0.3, 0.7, every_object=True)
    assert (found.kinds.tolist(), found.objects.tolist()) == ([BACKGROUND] * 2, [0, 0])


def kinds_of(objects: int, background: int, neither: int = 0) -> torch.Tensor:
    return torch.tensor([OBJECT] * objects + [BACKGROUND] * background + [NEITHER] * neither)


def test_at_most_a_part_is_of_objects_and_the_rest_is_background() -> None:
    for objects, background, expected in ((50, 100, (4, 12)), (2, 100, (2, 14)), (50, 3, (4, 3)), (0, 5, (0, 5))):
        kinds = kinds_of(objects, background, 20)
        chosen, rest = sampled(kinds, 16, 0.25, torch.Generator().manual_seed(1))
        assert (len(chosen), len(rest)) == expected
        assert (kinds[chosen] == OBJECT).all() and (kinds[rest] == BACKGROUND).all()
        assert len(set(chosen.tolist() + rest.tolist())) == sum(expected)


def test_a_choice_follows_from_its_seed() -> None:
    kinds = kinds_of(50, 100)
    one, same, other = (sampled(kinds, 16, 0.25, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
