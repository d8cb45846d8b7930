"""Makes an archive of drawn numbers, to measure what is done with large archives: find, export, search.

python -m tools.make_store drawn.zarr --videos 280 --clips 3600 --people 1   # a million clips

The people have numbers from the start, unless `--track`: then the tracker gives them, which takes most of the time.
Features are those of scenes of a minute, which are alike within and differ from each other.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from memvit.labels import labels_for
from memvit.store import Archive, Provenance, Rows, VideoState, fingerprint
from memvit.tracking.appearance import SIZE

PART_CLIPS = 3600
"""So many clips are drawn at a time."""
SCENE, DIRECTIONS = 60, 32
"""Clips of a scene, and numbers that say where its features are."""


def scenes(random: np.random.Generator, clips: int, people: int, channels: int) -> np.ndarray:
    """(clips × people, channels) features: each person of each scene has a place, with noise around it."""
    basis = np.random.default_rng(0).standard_normal((DIRECTIONS, channels), np.float32)  # the same in all videos
    count = clips // SCENE + 1
    places = random.standard_normal((count, people, DIRECTIONS), np.float32) @ basis
    features = np.repeat(places, SCENE, axis=0)[:clips].reshape(clips * people, channels)
    features += 2 * random.standard_normal(features.shape, np.float32)
    return features


def drawn(
    random: np.random.Generator, first: int, clips: int, people: int, classes: int, channels: int, *, track: bool
) -> Rows:
    """Clips with `people` people each, who stand in a row and walk a little. High scores are rare and last a while."""
    seconds = np.arange(first, first + clips, dtype=np.float64)
    rows = clips * people
    place = (np.tile(np.arange(people), clips) + 0.5) / people + 0.1 / people * np.sin(np.repeat(seconds, people) / 9)
    boxes = np.stack((place - 0.3 / people, 0 * place + 0.2, place + 0.3 / people, 0 * place + 0.8), axis=1)
    scores = random.random((rows, classes), np.float32) ** 4 / 2
    busy = np.sin(np.arange(rows)[:, None] / (20.0 * people) + random.random(classes) * 7) > 0.97
    looks = np.random.default_rng(people).random((people, SIZE), np.float32)  # the same in all parts
    clip_columns = {
        "number": np.arange(first, first + clips),
        "seconds": seconds,
        "span_seconds": np.stack((seconds - 1, seconds + 1), axis=1),
        "frames_crc32": random.integers(0, 1 << 32, clips),
        "people": np.full(clips, people),
        "begins_session": np.zeros(clips, dtype=bool),
        "features": scenes(random, clips, 1, channels),
    }
    people_columns = {
        "boxes": boxes.astype(np.float32),
        "box_scores": np.full(rows, 0.9, np.float32),
        "action_scores": np.where(busy, 1 - scores, scores),
        "box_features": scenes(random, clips, people, channels),
    }
    if track:
        appearance = looks / np.linalg.norm(looks, axis=1)[:, None]
        people_columns["appearance"] = np.tile(appearance, (clips, 1)).astype(np.float16)
    else:
        people_columns["person"] = np.tile(np.arange(1, people + 1), clips)
    return Rows(clip_columns, people_columns)


def main() -> None:
    """Write the archive and print how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--videos", type=int, default=100)
    parser.add_argument("--clips", type=int, default=1000, help="clips of each video, one a second")
    parser.add_argument("--people", type=int, default=2, help="people in each clip")
    parser.add_argument("--channels", type=int, default=96, help="length of a feature vector")
    parser.add_argument("--film", help="a file that is the film of all videos, so that a page has pictures of them")
    parser.add_argument("--track", action="store_true", help="let the tracker number the people")
    chosen = parser.parse_args()
    names = labels_for(80, "ava")
    sampling = {"num_frames": 16, "frame_interval": 4, "hop_seconds": 1.0}
    made_with = Provenance(
        "drawn", "0" * 64, {}, sampling, "drawn", "float32", "float32", True, 36, names.names, names.first_id,
        {"keep_seconds": 10.0},
    )  # fmt: skip
    archive, began = Archive.create(chosen.out, made_with), time.perf_counter()
    film = fingerprint(chosen.film) if chosen.film else None
    for video in range(chosen.videos):
        random = np.random.default_rng(video)
        location = str(Path(chosen.film).resolve()) if chosen.film else f"/drawn/{video:06}.mp4"
        state = VideoState(f"drawn-{video:06}", location, "running", fingerprint=film)
        archive.put(state)
        parts = (
            drawn(
                random,
                first,
                min(PART_CLIPS, chosen.clips - first),
                chosen.people,
                len(names),
                chosen.channels,
                track=chosen.track,
            )
            for first in range(0, chosen.clips, PART_CLIPS)
        )
        people = chosen.clips * chosen.people
        digests = archive.finish(state, parts, chosen.clips, people)
        archive.put(
            replace(
                state, state="done", duration_seconds=float(chosen.clips), clips=chosen.clips, people=people,
                persons=archive.persons(state.id), digests=digests,
            )
        )  # fmt: skip
    seconds = time.perf_counter() - began
    print(f"{chosen.videos} videos, {chosen.videos * chosen.clips} clips, {seconds:.1f} s")


if __name__ == "__main__":
    main()
