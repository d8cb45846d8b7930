"""`memvit import cvat`: annotations and videos → lists, label map and a recipe, ready to train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memvit.datasets.ava import Footage
from memvit.datasets.cvat import CvatTask, read_cvat
from memvit.types import MemvitError
from memvit.video.sources.open import open_source


@dataclass(frozen=True)
class Imported:
    """What was written."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    actions: tuple[str, ...]
    keyframes: int
    recipe: Path


def import_cvat(files: Sequence[Path], videos: Path, out: Path, val: Sequence[str]) -> Imported:
    """Write `train.csv`, `val.csv`, `actions.pbtxt` and `recipe.yaml` into `out`.

    `val` names the held-out videos; without it every fifth video is held out, and a single one is used for both.
    MemvitError if a file is malformed, a video is not there, or two files are of one video.
    """
    tasks = [read_cvat(path) for path in files]
    names = [task.name for task in tasks]
    for name in names:
        if names.count(name) > 1:
            raise MemvitError(f"two of the files are annotations of the same video, {name}")
    unknown = set(val) - set(names)
    if unknown:
        raise MemvitError(f"--val {', '.join(sorted(unknown))}: there is no such video among {', '.join(names)}")
    actions = sorted(set().union(*(task.actions for task in tasks)))
    if not actions:
        raise MemvitError(f"{files[0]}: no person of it does anything; add a checkbox attribute for each action")
    numbers = {action: number for number, action in enumerate(actions, 1)}
    rows = {task.name: _rows(task, videos, numbers) for task in tasks}
    held_out = set(val) or set(names[4::5])
    train = [name for name in names if name not in held_out] or names
    test = [name for name in names if name in held_out] or names
    out.mkdir(parents=True, exist_ok=True)
    for part, chosen in (("train", train), ("val", test)):
        (out / f"{part}.csv").write_text("".join(f"{row}\n" for name in chosen for row in rows[name]))
    items = (f'item {{\n  name: "{action}"\n  id: {number}\n}}\n' for action, number in numbers.items())
    (out / "actions.pbtxt").write_text("".join(items))
    recipe = out / "recipe.yaml"
    recipe.write_text(RECIPE.format(classes=len(actions), videos=videos.resolve(), data=out.resolve()))
    keyframes = sum(len({row.split(",")[1] for row in of_video}) for of_video in rows.values())
    return Imported(tuple(train), tuple(test), tuple(actions), keyframes, recipe)


def _rows(task: CvatTask, videos: Path, numbers: dict[str, int]) -> list[str]:
    with open_source(Footage(videos=videos).find(task.name)) as source:
        rate, duration = source.info.frames_per_second, source.info.duration_seconds
    if rate is None or duration is None:
        raise MemvitError(f"{task.name}: the video's frame rate or duration is unknown; convert it to MP4")
    return list(task.rows(rate, range(int(duration) + 1), numbers))


RECIPE = """# Made by `memvit import cvat`; see docs/own_actions.md.
task: actions
model:
  name: memvit_16_16x4.ava_k400
  num_classes: {classes}
  pretrained: true     # AVA's weights with a new head; or checkpoint: FILE
  drop_path: 0.2
data:
  videos: {videos}
  train_boxes: [{data}/train.csv]
  val_groundtruth: {data}/val.csv
  label_map: {data}/actions.pbtxt
augment:
  short_side: [256, 320]
  flip: 0.5
  color_jitter: 0.4
  perturb_frames: true
optimizer:
  kind: adamw
  learning_rate: 5.0e-5
  weight_decay: 0.05
schedule:
  epochs: 20
  warmup_epochs: 2
run:
  out: runs/own_actions
  batch_size: 4
  precision: bfloat16
  activation_checkpointing: true
"""
