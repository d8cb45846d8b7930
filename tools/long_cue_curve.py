"""mAP against the age of the cue, for LongCue runs and for the first of them with memory off: a table and a plot.

python -m tools.long_cue_curve data/long_cue runs/a "reads (2, 4)" runs/b "reads (1, 2)" --plot curve.png
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from memvit.datasets.ava import Footage, read_annotations
from memvit.datasets.ava_files import AvaTable, read_label_map, read_table
from memvit.evaluation.actions import detections_table, score_keyframes
from memvit.evaluation.ava import evaluate, select_boxes
from memvit.models import MeMViT
from memvit.training.recipe_file import load_recipe
from memvit.training.run_state import run_checkpoints
from pipelines.train.run import open_model

AGES = tuple(range(2, 31))
CHANCES: dict[tuple[int, ...], float] = {}


def ages_of(table: AvaTable, cues: Path) -> np.ndarray:
    """Seconds since the cue of each row's person."""
    shown = {tuple(line.split(",")[:2]): int(line.split(",")[2]) for line in cues.read_text().split()}
    people = zip(table.videos, table.last.astype(int), table.seconds, strict=True)
    return np.array([second - shown[str(video), str(person)] for video, person, second in people])


def precision_at(age: int, truth: AvaTable, ages: np.ndarray, found: AvaTable, names: dict[int, str]) -> float:
    """mAP over the boxes whose cue is this old."""
    of_age = truth.where(ages == age)
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


def main() -> None:
    """Read the arguments, test every run, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", nargs="+", help="folder and title, in turns")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    truth = read_table(options.data / "val.csv")
    names = read_label_map(options.data / "saw.pbtxt")
    ages = ages_of(truth, options.data / "val_cues.csv")
    videos = read_annotations([options.data / "val.csv"], num_classes=8)
    footage = Footage(options.data / "videos")
    curves: dict[str, dict[int, float]] = {"chance": {age: chance(age, truth, ages, names) for age in AGES}}
    for folder, title in zip(options.runs[::2], options.runs[1::2], strict=True):
        recipe = load_recipe(Path(folder) / "recipe.yaml")
        newest = run_checkpoints(Path(folder))[-1]
        model, entry, _ = open_model(replace(recipe.model, checkpoint=str(newest), pretrained=False, inflate=None))
        assert isinstance(model, MeMViT)
        for remember, name in ((True, title), (False, "memory off")):
            if name not in curves:
                found = detections_table(
                    score_keyframes(model, entry.preprocessing, videos, footage, 1.0, 8, remember=remember)
                )
                curves[name] = {age: precision_at(age, truth, ages, found, names) for age in AGES}
        print(title, f"receptive field {model.receptive_field} clips", flush=True)
    print("| cue age, s | " + " | ".join(curves) + " |\n|" + "---|" * (len(curves) + 1))
    for age in AGES:
        print(f"| {age} | " + " | ".join(f"{curve[age]:.3f}" for curve in curves.values()) + " |")
    if options.json:
        options.json.write_text(json.dumps(curves, indent=1))
    if options.plot:
        draw(curves, options.plot)


def draw(curves: dict[str, dict[int, float]], path: Path) -> None:
    """The curves as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for title, curve in curves.items():
        style = {"color": "grey", "linestyle": "--"} if title == "chance" else {"marker": "o", "markersize": 4}
        axes.plot(list(curve), list(curve.values()), label=title, **style)
    axes.set(xlabel="seconds since the cue was shown", ylabel="mAP", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
