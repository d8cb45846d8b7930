"""mAP against the age of the cue, for LongCue runs in several modes: a table and a plot.

python -m tools.long_cue_curve data/long_cue runs/a "reads (2, 4)" runs/b "slots" --plot curve.png

Modes: "given" (the numbers of the file say who is who), "tracker" (those of the project's own tracker), "without"
(no numbers), "shuffled" (no numbers, and the boxes of each clip in another order), "off" (memory off). A run is a
folder of `memvit train`, or a checkpoint that describes itself. A model that reads clips takes no numbers.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from memvit.datasets.ava import Footage, read_annotations
from memvit.datasets.ava_files import AvaTable, read_label_map, read_table
from memvit.datasets.long_cue import HIDDEN_AFTER_SECONDS
from memvit.evaluation.actions import detections_table, score_keyframes
from memvit.evaluation.ava import evaluate, select_boxes
from memvit.models import MeMViT, ModelEntry, create_model, model_entry
from memvit.models.weights.safetensors import read_metadata
from memvit.training.recipe import ActionRecipe
from memvit.training.recipe_file import load_recipe
from memvit.training.run_state import run_checkpoints
from pipelines.train.run import open_model
from tools.long_cue_modes import in_mode

MODES = ("given", "tracker", "without", "shuffled", "off")
EXACT_AGE = 40
"""Up to this age in seconds each point of the curve is of one age, beyond it also of the ages beside it (2.5 %)."""
CHANCES: dict[tuple[int, ...], float] = {}


def default_ages(longest: int) -> list[int]:
    """Every age to 30 s, then fewer and fewer."""
    ages = [*range(HIDDEN_AFTER_SECONDS, 31), *range(35, 60, 5), *range(60, 120, 10), *range(120, 300, 30)]
    return [age for age in (*ages, *range(300, 3600, 60)) if age <= longest]


def ages_of(table: AvaTable, cues: Path) -> np.ndarray:
    """Seconds since the cue of each row's person."""
    shown = {tuple(line.split(",")[:2]): int(line.split(",")[2]) for line in cues.read_text().split()}
    people = zip(table.videos, table.last.astype(int), table.seconds, strict=True)
    return np.array([second - shown[str(video), str(person)] for video, person, second in people])


def near(ages: np.ndarray, age: int) -> np.ndarray:
    """Which ages belong to the point of the curve at `age`."""
    return np.asarray(np.abs(ages - age) <= (age // EXACT_AGE))


def precision_at(age: int, truth: AvaTable, ages: np.ndarray, found: AvaTable, names: dict[int, str]) -> float:
    """mAP over the boxes whose cue is this old."""
    of_age = truth.where(near(ages, age))
    return evaluate(of_age, select_boxes(found, of_age), label_map=names)["mAP@0.5IOU"]


def chance(age: int, truth: AvaTable, ages: np.ndarray, names: dict[int, str], draws: int = 200) -> float:
    """The mean mAP of random scores."""
    people = truth.where(ages == age)
    if (counts := tuple(np.bincount(people.actions))) in CHANCES:  # it depends on nothing else
        return CHANCES[counts]
    generator = np.random.default_rng(0)
    values = []
    for _ in range(draws):
        guesses = [replace(people, actions=np.full(len(people), n), last=generator.random(len(people))) for n in names]
        values.append(evaluate(people, AvaTable.join(guesses), label_map=names)["mAP@0.5IOU"])
    CHANCES[counts] = float(np.mean(values))
    return CHANCES[counts]


def open_run(path: Path) -> tuple[MeMViT, ModelEntry]:
    """The newest model of a run's folder, or that of a checkpoint that describes itself."""
    if path.is_dir():
        recipe = load_recipe(path / "recipe.yaml")
        assert isinstance(recipe, ActionRecipe)
        newest = run_checkpoints(path)[-1]
        model, entry, _ = open_model(replace(recipe.model, checkpoint=str(newest), pretrained=False, inflate=None))
    else:
        description = read_metadata(path)
        assert description is not None
        opened, entry = create_model(description.name, checkpoint=path), model_entry(description.name)
        assert isinstance(opened, MeMViT)
        model = opened
    assert isinstance(model, MeMViT)
    return model, entry


def modes_of(model: MeMViT, chosen: list[str] | None) -> list[str]:
    """The modes in which a model is tested: only memory in slots makes use of numbers."""
    plan = model.config.memory
    possible = ("off",) if plan is None else MODES if plan.kind == "slots" else ("given", "off")
    return [mode for mode in possible if chosen is None or mode in chosen]


def main() -> None:
    """Read the arguments, test every run, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", nargs="+", help="folder or checkpoint, and title, in turns")
    parser.add_argument("--modes", nargs="+", choices=MODES, help="by default all that a model knows")
    parser.add_argument("--ages", nargs="+", type=int, help="in seconds; by default all to 30, then fewer")
    parser.add_argument("--videos", type=int, help="only so many of the held-out videos")
    parser.add_argument("--lanes", type=int, default=8, help="how many videos are read beside each other")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = read_label_map(options.data / "saw.pbtxt")
    videos = read_annotations([options.data / "val.csv"], num_classes=8)[: options.videos]
    table = read_table(options.data / "val.csv")
    truth = table.where(np.isin(table.videos, [video.name for video in videos]))
    ages = ages_of(truth, options.data / "val_cues.csv")
    shown = options.ages or default_ages(int(ages.max()))
    footage = Footage(options.data / "videos")
    curves: dict[str, dict[int, float]] = {"chance": {age: chance(age, truth, ages, names) for age in shown}}
    for path, title in zip(options.runs[::2], options.runs[1::2], strict=True):
        model, entry = open_run(Path(path))
        for mode in modes_of(model, options.modes):
            told = in_mode("given" if mode == "off" else mode, videos, options.data / "val_scenes.json")
            found = detections_table(
                score_keyframes(model, entry.preprocessing, told, footage, 1.0, options.lanes, remember=mode != "off")
            )
            curve = {age: precision_at(age, truth, ages, found, names) for age in shown}
            curves[f"{title}, {mode}"] = curve
            print(f"{title}, {mode}:", {age: round(value, 3) for age, value in curve.items()}, flush=True)
            if options.json:
                options.json.write_text(json.dumps(curves, indent=1))
    print("| cue age, s | " + " | ".join(curves) + " |\n|" + "---|" * (len(curves) + 1))
    for age in shown:
        print(f"| {age} | " + " | ".join(f"{curve[age]:.3f}" for curve in curves.values()) + " |")
    if options.plot:
        draw(curves, options.plot)


def draw(curves: dict[str, dict[int, float]], path: Path) -> None:
    """The curves as a PNG. Ages have a logarithmic scale where they reach beyond a minute."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for title, curve in curves.items():
        style = {"color": "grey", "linestyle": "--"} if title == "chance" else {"marker": "o", "markersize": 4}
        axes.plot(list(curve), list(curve.values()), label=title, **style)
    longest = max(max(curve) for curve in curves.values())
    if longest > 60:
        axes.set_xscale("log")
        ticks = [age for age in (2, 4, 8, 15, 30, 60, 120, 240, 480, 900) if age <= longest]
        axes.set_xticks(ticks, [str(age) for age in ticks])
        axes.minorticks_off()
    axes.set(xlabel="seconds since the cue was shown", ylabel="mAP", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
