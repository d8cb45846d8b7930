"""A pause is as if the newest clips had been remembered again and again, without computing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from memvit.datasets.long_cue import Scene, write_long_cue
from memvit.models import Memory, MeMViT
from memvit.models.zoo import ARCHITECTURES
from memvit.training.loop import StepDone
from memvit.training.pauses import Pause, with_pauses
from memvit.training.recipe_file import load_recipe
from memvit.types import MemvitError

from .runs import losses, trainer_of, weights

CONFIG = Path(__file__).parents[2] / "configs" / "long_cue" / "slots.yaml"
HORIZON = 9


def remembered(persons: Sequence[list[int]]) -> list[Memory]:
    """The memory of two streams in training after each of some clips; `persons` are those of each clip."""
    plan = ARCHITECTURES["memvit_tiny_8x4"].memory
    assert plan is not None
    plan = replace(plan, kind="slots", reads=(), slots=6, train_horizon=HORIZON)
    torch.manual_seed(0)
    model = MeMViT(replace(ARCHITECTURES["memvit_tiny_8x4"], crop=32, memory=plan)).train()
    memory: Memory | None = None
    found = []
    with torch.no_grad():
        for of_clip in persons:
            clips, boxes = torch.randn(2, 3, 8, 32, 32), [torch.tensor([[2.0, 2, 20, 30]] * len(of_clip))] * 2
            _, memory = model(clips, boxes, memory, persons=[of_clip] * 2)
            assert memory is not None
            found.append(memory)
    return found


def clips_of(memory: Memory, stream: int) -> list[tuple[float, float, int]]:
    """What is remembered of each clip before the newest, oldest first: a key, a box feature, the person of a box."""
    assert memory.rows is not None and memory.rows.of_boxes is not None
    keys, boxes, of_boxes = memory.layers[0].compressed.keys, memory.boxes[0], memory.rows.of_boxes
    return [
        (float(keys[stream, clip, 0, 0]), float(boxes[stream, clip, 0, 0]), int(of_boxes[stream, clip, 0]))
        for clip in range(HORIZON - 1)
    ]


def test_the_clips_before_the_newest_are_remembered_again_in_turns() -> None:
    before = remembered([[7], [7], [7, 3], [7, 3], [7, 4]])[-1]
    after = with_pauses(before, [Pause(3, repeated=2), Pause()])
    (*_, a, b, c, d), changed = clips_of(before, 0), clips_of(after, 0)
    assert changed[-7:] == [a, b, c, d, c, d, c]
    assert clips_of(after, 1) == clips_of(before, 1)
    assert after.ages.tolist() == [8, 5]
    for part in ("keys", "values"):  # the newest clip stays the newest
        raw_before, raw_after = before.layers[0].raw, after.layers[0].raw
        assert torch.equal(getattr(raw_before, part), getattr(raw_after, part))
    assert torch.equal(after.boxes[0][:, -1], before.boxes[0][:, -1])
    assert before.rows is not None and after.rows is not None
    rows = after.rows.people[0]
    persons = dict(zip(rows.persons, rows.since, strict=True))
    # Memory counts people from 1. The one who came with the newest clip has come after the pause.
    assert (persons[8], persons[4], persons[5], rows.clips) == (1, 3, 8, 8)
    assert after.rows.people[1] == before.rows.people[1]


def test_a_long_pause_leaves_what_it_repeats_and_the_newest_clip() -> None:
    before = remembered([[7]] * 4)[-1]
    after = with_pauses(before, [Pause(600, repeated=1), Pause(600, repeated=3)])
    assert len(set(clips_of(after, 0))) == 1 and len(set(clips_of(after, 1))) == 3
    assert after.ages.tolist() == [604, 604]
    assert with_pauses(before, [Pause(), Pause()]) is before


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long_cue")
    scenes = [Scene(seed, seconds=6, width=64, height=64) for seed in range(2)]
    write_long_cue(folder, {"train": scenes, "val": scenes[:1]})
    return folder


def overrides(data: Path, out: Path, *more: str) -> list[str]:
    return [
        f"data.videos={data}/videos", f"data.train_boxes=[{data}/train.csv]", f"data.val_groundtruth={data}/val.csv",
        f"data.label_map={data}/saw.pbtxt", f"data.labels={data}/actions.pbtxt", f"run.out={out}", "run.batch_size=2",
        "schedule.epochs=1", "schedule.warmup_epochs=0", "run.evaluate_every_epochs=0", *more,
    ]  # fmt: skip


def test_a_run_with_pauses_is_resumed_as_if_it_had_not_stopped(data: Path, tmp_path: Path) -> None:
    def recipe(name: str, pauses: float = 1.0) -> list[str]:
        more = f"augment.pauses={pauses}", "augment.longest_pause=40", "model.slots=6"
        return overrides(data, tmp_path / name, *more)

    whole = trainer_of(load_recipe(CONFIG, recipe("whole")))
    whole.run()
    ages = whole.task.memory.ages.tolist()
    assert max(ages) > 6, f"no stream has grown older than its video: {ages}"
    steps: list[StepDone] = []
    stopped = trainer_of(load_recipe(CONFIG, recipe("stopped")))
    stopped.run(lambda event: steps.append(event) if isinstance(event, StepDone) else None, lambda: len(steps) >= 4)
    trainer_of(load_recipe(CONFIG, recipe("stopped"))).run()
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")
    before, after = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["model.slots=null", "model.reads=[1]"], r"augment\.pauses is for memory in slots: set model\.slots"),
        (["augment.longest_pause=64"], r"augment\.longest_pause=64 does not fit into model\.train_horizon=64"),
    ],
)
def test_pauses_that_memory_cannot_hold_are_refused(more: list[str], problem: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(MemvitError, match=problem):
        trainer_of(load_recipe(CONFIG, overrides(data, tmp_path, "augment.pauses=0.5", *more)))
