"""Archives of a model with memory in slots: a video is one piece, and people are numbered before they are answered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr

from memvit.boxes import open_boxes
from memvit.datasets.long_cue import Scene
from memvit.engine.engine import Engine
from memvit.engine.people import PeopleFinder
from memvit.models import MODELS, CheckpointMetadata, MeMViT, load_model, save_safetensors
from memvit.results.result import Result
from memvit.store import Archive
from memvit.video.clips.sampler import ClipSampler
from memvit.video.sources.open import open_source
from tests.conftest import filled

from .archives import differences, killed_after, run, small_video

SECONDS = 16
NAME = "memvit_tiny_8x4"
ENTRY = MODELS[NAME]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of three actors; `boxes.csv` beside it has their boxes in changing order, without numbers."""
    folder = tmp_path_factory.mktemp("slots")
    scene = Scene(seed=1, seconds=SECONDS, width=96, height=64, frames_per_second=12)
    lines = []
    for second in range(SECONDS):
        for sides in np.roll(scene.boxes(second), second, axis=0).tolist():
            lines += [
                ",".join([name, str(second), *(f"{side:.4f}" for side in sides), "", "0.95"]) for name in ("v", "copy")
            ]
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n")
    return small_video(folder / "v.mp4", seed=1, seconds=SECONDS)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with six slots, as a file that describes itself."""
    memory = ENTRY.config.memory
    assert memory is not None
    config = replace(ENTRY.config, memory=replace(memory, kind="slots", reads=(), slots=6))
    model = filled(MeMViT(config))
    assert isinstance(model, MeMViT)
    classes = tuple(f"action {number}" for number in range(80))
    path = tmp_path_factory.mktemp("weights") / "slots.safetensors"
    save_safetensors(path, model, CheckpointMetadata(NAME, config, ENTRY.preprocessing, classes, 1, {}))
    return path


def words(checkpoint: Path, out: Path, video: Path) -> list[object]:
    return ["extract", video, "--out", out, "--checkpoint", checkpoint, "--boxes", video.parent / "boxes.csv"]


@pytest.fixture(scope="module")
def whole(video: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "a.zarr"
    assert run(*words(checkpoint, out, video))[0] == 0
    return out


def streamed(video: Path, checkpoint: Path, *, numbered: bool) -> list[Result]:
    """The results of watching the video, with the numbers of the tracker or without numbers."""
    model, _ = load_model(NAME, checkpoint=checkpoint)
    engine, people = (
        Engine(model.eval(), ENTRY.preprocessing),
        PeopleFinder(open_boxes(str(video.parent / "boxes.csv"))),
    )
    found = []
    with open_source(video) as source:
        for clip in ClipSampler.for_model(video.stem, ENTRY.preprocessing, hop_seconds=1).clips(source):
            seen = people.find([clip])
            people.commit(seen)
            boxes = seen[0].boxes if numbered else replace(seen[0].boxes, persons=None)
            found += engine.step([clip], [boxes])
    return found


def arrays(archive: Path) -> zarr.Group:
    opened = Archive.open(str(archive))
    (state,) = opened.videos()
    return opened.group(state.id)


def test_an_archive_holds_what_a_stream_answers(whole: Path, video: Path, checkpoint: Path) -> None:
    group, expected = arrays(whole), streamed(video, checkpoint, numbered=True)
    scores = np.concatenate([result.scores for result in expected])
    assert np.array_equal(group["action_scores"][:], scores)  # type: ignore[index]
    numbers = np.concatenate([result.boxes.persons for result in expected if result.boxes is not None])
    assert np.array_equal(group["person"][:], numbers) and len(set(numbers.tolist())) >= 3  # type: ignore[index]
    without = np.concatenate([result.scores for result in streamed(video, checkpoint, numbered=False)])
    assert np.abs(scores - without).max() > 1e-3  # who is who matters
    assert Archive.open(str(whole)).provenance.receptive_field is None


@pytest.mark.parametrize("commits", [1, 3])
def test_a_killed_job_goes_on_with_memory_and_tracker(
    commits: int, whole: Path, video: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--segment cuts nothing, because every result depends on all clips before it."""
    out = tmp_path / "a.zarr"
    command = [*words(checkpoint, out, video), "--segment", SECONDS / 4, "--commit", 4]
    with killed_after(commits, monkeypatch):
        run(*command)
    assert len(list(out.glob("work/*/*/part-*"))) == commits
    assert run(*command)[0] == 0
    assert differences(whole, out) == []
    assert len(arrays(out).attrs["segments"]) == 1  # type: ignore[arg-type]


def test_a_commit_without_its_memory_begins_again(
    whole: Path, video: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.zarr"
    command = [*words(checkpoint, out, video), "--commit", 4]
    with killed_after(2, monkeypatch):
        run(*command)
    memories = list(out.glob("work/*/*/memory-*/c/0"))
    assert memories
    for memory in memories:
        memory.write_bytes(b"\0" * memory.stat().st_size)
    assert run(*command)[0] == 0
    assert differences(whole, out) == []


def test_an_example_of_a_file_is_found(whole: Path, video: Path, checkpoint: Path, tmp_path: Path) -> None:
    """The clip of a file that is not in the archive is answered after all clips before it."""
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(video.read_bytes())
    boxes = ["--boxes", video.parent / "boxes.csv"]
    words = ["similar", whole, f"{copy}@12", "--checkpoint", checkpoint, *boxes]
    code, text = run(*words, "--people", "--person", 1, "--json")
    assert code == 0, text
    best = json.loads(text.split("}")[0] + "}")
    assert best["seconds"] == 12 and best["similarity"] == 1.0
