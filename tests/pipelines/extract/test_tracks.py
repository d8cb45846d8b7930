"""Numbers of people in an archive do not depend on segments or kills; what came with a number keeps it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from memvit.datasets.long_cue import Scene
from memvit.store import Archive

from .archives import differences, killed_after, run, small_video

SECONDS = 24


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of three actors, with a CSV file of their boxes that has scores and no numbers."""
    folder = tmp_path_factory.mktemp("tracks")
    scene = Scene(seed=1, seconds=SECONDS, width=96, height=64, frames_per_second=12)
    lines = []
    for second in range(SECONDS):
        for place, sides in enumerate(np.roll(scene.boxes(second), second, axis=0).tolist()):
            if (second + place) % 5:
                lines.append(",".join(["v", str(second), *(f"{side:.4f}" for side in sides), "", "0.95"]))
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n")
    return small_video(folder / "v.mp4", seed=1, seconds=SECONDS)


def words(tiny_file: Path, out: Path, video: Path) -> list[object]:
    model = ["--model", "memvit_tiny_8x4", "--checkpoint", tiny_file]
    return ["extract", video, "--out", out, *model, "--boxes", video.parent / "boxes.csv"]


@pytest.fixture(scope="module")
def whole(video: Path, tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "a.zarr"
    assert run(*words(tiny_file, out, video))[0] == 0
    return out


def only_video(archive: Path) -> zarr.Group:
    opened = Archive.open(str(archive))
    (state,) = opened.videos()
    return opened.group(state.id)


def test_people_are_numbered_and_described(whole: Path) -> None:
    group, archive = only_video(whole), Archive.open(str(whole))
    person, looks = np.asarray(group["person"][:]), np.asarray(group["appearance"][:])  # type: ignore[index]
    (state,) = archive.videos()
    assert person.shape == (state.people,) and state.persons == group["track"].shape[0] > 0  # type: ignore[union-attr]
    assert looks.dtype == np.float16 and np.allclose(np.linalg.norm(looks.astype(np.float32), axis=1), 1, atol=0.01)
    assert archive.provenance.tracking["appearance_size"] == looks.shape[1]


@pytest.mark.parametrize("kill_after", [None, 3])
def test_four_segments_and_a_killed_job_give_the_numbers_of_one_run(
    kill_after: int | None, whole: Path, video: Path, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The video is cut into four segments; the job is killed after some commits, and run again."""
    out = tmp_path / "a.zarr"
    command = [*words(tiny_file, out, video), "--segment", SECONDS / 4, "--commit", 4]
    if kill_after is not None:
        with killed_after(kill_after, monkeypatch):
            run(*command)
        assert len(list(out.glob("work/*/*/part-*"))) == kill_after
    assert run(*command)[0] == 0
    assert differences(whole, out) == []
    assert len(only_video(out).attrs["segments"]) == 4  # type: ignore[arg-type]


def test_numbers_of_a_file_are_kept(video: Path, tiny_file: Path, tmp_path: Path) -> None:
    """The ninth column has the number of a person; some boxes have none."""
    rows = [line.split(",") for line in (video.parent / "boxes.csv").read_text().splitlines()]
    given = [str(100 + index % 3) if index % 4 else "" for index in range(len(rows))]
    boxes = tmp_path / "numbered.csv"
    boxes.write_text("".join(",".join([*row, number]) + "\n" for row, number in zip(rows, given, strict=True)))
    command = words(tiny_file, tmp_path / "a.zarr", video)
    assert run(*command[:-1], boxes)[0] == 0
    group = only_video(tmp_path / "a.zarr")
    person = np.asarray(group["person"][:])  # type: ignore[index]
    assert sorted(person.tolist()) == sorted(int(number) if number else -1 for number in given)
    assert np.asarray(group["track"][:]).tolist() == [100, 101, 102] and "appearance" not in group  # type: ignore[index]


def test_the_settings_of_the_tracker_are_those_that_the_archive_names(
    video: Path, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boxes of a file are people whatever their score; another tracker may not add to the archive."""
    boxes = tmp_path / "faint.csv"
    boxes.write_text((video.parent / "boxes.csv").read_text().replace(",0.95", ",0.05"))
    command = [*words(tiny_file, tmp_path / "a.zarr", video)[:-1], boxes, "--boxes-threshold", 0.01]
    assert run(*command)[0] == 0
    assert (np.asarray(only_video(tmp_path / "a.zarr")["person"][:]) > 0).all()  # type: ignore[index]
    monkeypatch.setattr("pipelines.extract.run.SIZE", 5)
    code, output = run(*command)
    assert code == 1 and "it was made with another tracking (appearance size 88, now 5); name another --out" in output
