"""A small archive of real films with drawn results, made without a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np

from memvit.datasets.long_cue import Scene, render, write_video
from memvit.store import Archive, Rows, VideoState, fingerprint
from tests.store.test_store import MADE_WITH

CLASSES = ("stand", "sit", "wave")
SECONDS = 8
HOSTILE = "<img src=x onerror=document.title='bad'>.avi"
"""A file may have this name."""


def rows(seed: int, *, is_people: bool = True, seconds: int = SECONDS) -> Rows:
    """Two people: the first waves in the seconds 2 to 4, both stand all the time. Features tell the seconds apart."""
    random = np.random.default_rng(seed)
    times = np.arange(seconds, dtype=np.float64)
    is_wave = (times >= 2) & (times <= 4)
    features = np.stack((np.cos(times / 4 + seed), np.sin(times / 4 + seed)), axis=1).astype(np.float32)
    clips: dict[str, Any] = {
        "number": times.astype(np.int64),
        "seconds": times,
        "span_seconds": np.stack((times - 0.5, times + 0.5), axis=1),
        "frames_crc32": np.arange(seconds),
        "begins_session": np.zeros(seconds, bool),
        "features": features,
    }
    scores = np.full((seconds, 2, 3), 0.05, np.float32)
    scores[:, :, 0] = 0.7
    scores[is_wave, 0, 2] = 0.8 + 0.02 * seed
    scores += random.random(scores.shape).astype(np.float32) * 0.01
    if not is_people:
        return Rows({**clips, "people": np.zeros(seconds, np.int64), "action_scores": scores[:, 0]}, {})
    people: dict[str, Any] = {
        "boxes": np.tile(np.array([[0.05, 0.1, 0.45, 0.9], [0.55, 0.1, 0.95, 0.9]], np.float32), (seconds, 1)),
        "box_scores": np.ones(2 * seconds, np.float32),
        "action_scores": scores.reshape(-1, 3),
        "box_features": np.repeat(features, 2, axis=0) * np.tile([[1, 1], [1, -1]], (seconds, 1)).astype(np.float32),
        "person": np.tile([1, 2], seconds),
    }
    return Rows({**clips, "people": np.full(seconds, 2)}, people)


def add_film(archive: Archive, name: str, location: Path, part: Rows) -> None:
    """A finished film; the file need not be there."""
    state = VideoState(name, str(location), "running", fingerprint=fingerprint(str(location)))
    archive.put(state)
    digests = archive.finish(state, [part], len(part), part.num_people)
    about = {"clips": len(part), "people": part.num_people, "persons": 2 if part.people else None}
    archive.put(replace(state, state="done", duration_seconds=float(len(part)), digests=digests, **about))


def write_avi(scene: Scene, path: Path) -> None:
    """A film that browsers cannot play."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=int(scene.frames_per_second))
        stream.width, stream.height, stream.pix_fmt = scene.width, scene.height, "yuv420p"
        for number in range(round(scene.seconds * scene.frames_per_second)):
            image = render(scene, number / scene.frames_per_second)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def make_store(folder: Path) -> Path:
    """Films a (H.264), b (MPEG-4 in AVI, with a hostile name), gone (its file is deleted), and one of each other
    state.
    """
    films = folder / "films"
    films.mkdir(parents=True)
    write_video(Scene(seed=1, seconds=SECONDS, width=192, height=108, frames_per_second=10), films / "a.mp4")
    write_avi(Scene(seed=2, seconds=SECONDS, width=96, height=96, frames_per_second=10), films / HOSTILE)
    (films / "gone.mp4").write_bytes(b"it was here")
    archive = Archive.create(str(folder / "a.zarr"), replace(MADE_WITH, classes=CLASSES, boxes="full"))
    add_film(archive, "a-1", films / "a.mp4", rows(1))
    add_film(archive, "b-2", films / HOSTILE, rows(2))
    add_film(archive, "gone-3", films / "gone.mp4", rows(3))
    archive.put(VideoState("late-4", str(films / "late.mp4"), "running", clips=3))
    archive.put(VideoState("torn-5", str(films / "torn.mp4"), "failed", "it breaks off after 3 s"))
    (films / "gone.mp4").unlink()
    return folder / "a.zarr"
