"""Teaches "saw red" from few labelled moments of LongCue films, and measures how good it is on films without labels.

python -m tools.teach_curve lc.zarr val.csv --out growth.png

The store is made by `memvit extract` from the films of `tools/make_long_cue.py` with `--boxes val.csv`. Half of the
films are for labels, the others for the measurement. Labels are drawn, half with the action and half without, or chosen
by `suggest`, from ten drawn ones on. Truth is the data set's file of labels.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import TypeAlias

import numpy as np

import memvit.store
from memvit.store import Library
from memvit.store.examples import suggest, teach
from memvit.teaching.curve_plot import draw_growth
from memvit.teaching.moments import Moment
from memvit.teaching.validation import average_precision

Key: TypeAlias = tuple[str, int, int]
"""(id of the video, second, person)."""
COUNTS = (4, 6, 10, 20, 40, 80, 160)
BEGIN = 10


def truth_of(library: Library, path: Path, action: str) -> dict[Key, bool]:
    """Whether each person of each second does the action."""
    ids = {Path(state.location).stem: state.id for state in library.videos()}
    found: dict[Key, bool] = {}
    with path.open(encoding="utf-8") as file:
        for name, second, *_, label, person in csv.reader(file):
            key = ids[name], int(second), int(person)
            found[key] = found.get(key, False) or label == action
    return found


class _Films:
    """The features of some films with their truth."""

    def __init__(self, library: Library, truth: dict[Key, bool], videos: list[str]) -> None:
        self.features, self.answers = [], []
        for video in videos:
            seconds = np.asarray(library.array(video, "seconds")[:])
            clips = np.asarray(library.array(video, "detection_clip")[:])
            persons = np.asarray(library.array(video, "person")[:])
            rows = np.asarray(library.array(video, "box_features")[:])
            for row, clip, person in zip(rows, clips, persons, strict=True):
                key = video, round(float(seconds[clip])), int(person)
                if key in truth:
                    self.features.append(row)
                    self.answers.append(truth[key])

    def average_precision(self, scores: np.ndarray) -> float:
        return average_precision(scores, np.array(self.answers))


def drawn(truth: dict[Key, bool], videos: list[str], count: int, random: np.random.Generator) -> list[Key]:
    """Moments, half with the action and half without."""
    found: list[Key] = []
    for answer in (True, False):
        keys = sorted(key for key, value in truth.items() if value == answer and key[0] in videos)
        found += [keys[place] for place in random.choice(len(keys), count // 2, replace=False)]
    return found


def main() -> None:
    """Print the table and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("truth", type=Path)
    parser.add_argument("--action", default="5", help="id in the file of labels; 5 is saw red")
    parser.add_argument("--out", type=Path, default=Path("growth.png"))
    parser.add_argument("--rounds", type=int, default=10)
    chosen = parser.parse_args()
    library = memvit.store.open(chosen.store)
    truth = truth_of(library, chosen.truth, chosen.action)
    videos = library.video_ids()
    learn, held = videos[: len(videos) // 2], videos[len(videos) // 2 :]
    films = _Films(library, truth, held)
    features = np.stack(films.features)
    print(f"{len(films.answers)} people and seconds of {len(held)} films without labels, {sum(films.answers)} with it")
    results: dict[str, dict[int, list[float]]] = {"drawn": {}, "suggested": {}}
    seconds = []
    for way, found in results.items():
        for seed in range(chosen.rounds):
            random = np.random.default_rng(seed)
            keys = drawn(truth, learn, BEGIN, random) if way == "suggested" else []
            for count in COUNTS if way == "drawn" else [count for count in COUNTS if count >= BEGIN]:
                if way == "drawn":
                    keys = drawn(truth, learn, count, random)
                while len(keys) < count:
                    taught = teach(library, _moments(keys, truth), "taught")
                    questions = suggest(library, min(10, count - len(keys)), taught=taught)
                    asked = [(one.video, round(one.seconds), one.person or 0) for one in questions]
                    asked = [key for key in asked if key in truth and key[0] in learn]
                    keys += asked or drawn(truth, learn, 2, random)
                began = time.perf_counter()
                taught = teach(library, _moments(keys, truth), "taught")
                seconds.append(time.perf_counter() - began)
                found.setdefault(count, []).append(films.average_precision(taught.head.scores(features)))
    for way, found in results.items():
        for count, values in found.items():
            print(f"{way:10} {count:4} labels: {np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})")
    print(f"teach: {np.mean(seconds):.2f} s on average, {max(seconds):.2f} at most")
    curves = {way: (list(found), [float(np.mean(v)) for v in found.values()]) for way, found in results.items()}
    draw_growth(curves, "saw red, films without labels", chosen.out)


def _moments(keys: list[Key], truth: dict[Key, bool]) -> list[Moment]:
    return [Moment(video, float(second), person, truth[video, second, person]) for video, second, person in keys]


if __name__ == "__main__":
    main()
