"""A taught action end to end: taught from an archive, found in it, and seen by `watch` with the same scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import memvit
import memvit.store
from memvit.teaching import load_head, save_head
from memvit.types import MemvitError

from .archives import arguments, run, small_video

TINY = {"model": "memvit_tiny_8x4", "boxes": "full"}


@pytest.fixture(scope="module")
def folder(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of a video, and heads of people and of clips that were taught on it by the command."""
    folder = tmp_path_factory.mktemp("heads")
    video = small_video(folder / "a.mp4", seconds=16)
    assert run(*arguments(tiny_file, folder / "a.zarr", video))[0] == 0
    for reads, person in (("people", 1), ("clips", "")):
        rows = [f"a.mp4,{second},{person},{int(second > 7)}" for second in range(2, 14)]
        (folder / "labels.csv").write_text("\n".join(["video,seconds,person,label", *rows]))
        out, name = folder / f"{reads}.safetensors", f"late {reads}"
        code, output = run("teach", folder / "a.zarr", folder / "labels.csv", "--name", name, "--out", out)
        assert code == 0 and "12 labels (6 with the action) of 1 video" in output and "parts of the time" in output
        assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    return folder


def test_watching_gives_the_scores_of_the_archive(folder: Path, tiny_file: Path) -> None:
    paths = [folder / "people.safetensors", folder / "clips.safetensors"]
    results = list(memvit.watch(folder / "a.mp4", checkpoint=tiny_file, heads=paths, **TINY))
    assert results[0].labels is not None and results[0].labels.names[-2:] == ("late people", "late clips")
    library = memvit.store.open(str(folder / "a.zarr"))
    (name,) = library.video_ids()
    expected = [load_head(paths[0]).scores(np.asarray(library.array(name, "box_features")[:]))]
    expected.append(load_head(paths[1]).scores(np.asarray(library.array(name, "features")[:])))
    found = np.concatenate([result.scores[:, -2:] for result in results])
    assert found == pytest.approx(np.stack(expected, axis=1), abs=1e-5)
    assert any(name == "late people" for name, _ in results[12].actions(top_k=400)[0])


def test_the_commands_take_heads(folder: Path, tiny_file: Path) -> None:
    head, rules = folder / "people.safetensors", folder / "rules.yaml"
    rules.write_text("rules: [{name: evening, actions: [late people], min_seconds: 2}]\n")
    code, output = run("find", folder / "a.zarr", "--head", head, "--json")
    start = json.loads(output[: output.index("}") + 1])["start_seconds"]
    assert code == 0 and 6 <= start <= 10
    code, output = run("find", folder / "a.zarr", "--head", head, "--rules", rules)
    assert code == 0 and "evening" in output
    words = ["watch", folder / "a.mp4", "--model", "memvit_tiny_8x4", "--checkpoint", tiny_file, "--boxes", "full"]
    code, output = run(*words, "--head", head, "--rules", rules, "--out", folder / "watch", "--top-k", 1)
    assert code == 0, output
    (event,) = [json.loads(line) for line in (folder / "watch/events.jsonl").read_text().splitlines()][-1:]
    assert event["rule"] == "evening" and event["state"] == "end"
    code, output = run(*words, "--head", head, "--no-memory", "--out", folder / "watch")
    assert code == 1 and "features of the model memvit_tiny_8x4 with memory; teach it again" in output


def test_suggestions_can_be_answered_and_read_again(folder: Path) -> None:
    few = folder / "few.csv"
    few.write_text("video,seconds,person,label\na.mp4,2,1,0\na.mp4,13,1,1\n")
    code, output = run("teach", folder / "a.zarr", few, "--suggest", 3)
    asked = output[output.index("video,seconds") :].split()[1:]
    assert code == 0 and 1 <= len(asked) <= 3
    assert all(row.startswith("a-") and row.endswith(",1,") and 5 <= float(row.split(",")[1]) <= 10 for row in asked)
    few.write_text(few.read_text() + "\n".join(f"{row}1" for row in asked))
    code, output = run("teach", folder / "a.zarr", few, "--suggest", 3)
    assert code == 0 and f"{2 + len(asked)} labels" in output
    assert run("teach", folder / "a.zarr", folder / "labels.csv")[0] == 2
    assert run("teach", folder / "a.zarr", folder / "labels.csv", "--out", folder / "x.txt", "--name", "x")[0] == 2


def test_a_head_of_another_model_is_refused(folder: Path, tiny_file: Path) -> None:
    head = load_head(folder / "people.safetensors")
    path = folder / "other.safetensors"
    save_head(path, replace(head, model=replace(head.model, weights_sha256="0" * 64)))
    with pytest.raises(MemvitError, match=r"other\.safetensors: this head reads features of .* with other weights"):
        list(memvit.watch(folder / "a.mp4", checkpoint=tiny_file, heads=[path], **TINY))
    code, output = run("find", folder / "a.zarr", "--head", path)
    assert code == 1 and "with other weights" in output
