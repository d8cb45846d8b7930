"""`memvit extract`: it writes what a plain loop computes, whole or in segments, and reports what fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
from torch import nn

from memvit.boxes import open_boxes
from memvit.engine.engine import Engine
from memvit.models import MODELS
from memvit.results.result import Result
from memvit.video.clips.sampler import ClipSampler
from memvit.video.sources.open import open_source
from tests.processes import Command
from tests.video.make import busy, cut, flip_bytes, write, write_images

from .archives import arguments, differences, run, small_video


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A long video, two short ones with the same stem, a folder of frames, and a broken file."""
    folder = tmp_path_factory.mktemp("archive")
    small_video(folder / "long.mp4", seed=1, seconds=70)
    for index, place in enumerate(("a", "b")):
        (folder / place).mkdir()
        small_video(folder / place / "same.mp4", seed=2 + index, seconds=6)
    write_images(folder / "frames", range(1, 41), width=96, height=64)
    (folder / "broken.mp4").write_bytes((folder / "long.mp4").read_bytes()[:300])
    return folder


@pytest.fixture(scope="module")
def archive(videos: Path, tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of all these videos, from one run without interruption."""
    out = tmp_path_factory.mktemp("out") / "archive.zarr"
    report = out.parent / "report.json"
    code, output = run(*arguments(tiny_file, out, videos), "--report", report)
    assert code == 1, output
    assert "4 videos done, 1 failed" in output and "broken.mp4: there is no video in it" in output, output
    content = json.loads(report.read_text())
    assert [len(content["done"]), len(content["failed"])] == [4, 1]
    assert "broken.mp4" in content["failed"][0]["location"]
    return out


def plain_loop(path: Path, model: nn.Module) -> list[Result]:
    """The results of a video, computed without any pipeline."""
    entry = MODELS["memvit_tiny_8x4"]
    engine, people = Engine(model, entry.preprocessing), open_boxes("full")  # type: ignore[arg-type]
    with open_source(path) as source:
        clips = ClipSampler.for_model(path.stem, entry.preprocessing, hop_seconds=1).clips(source)
        return [engine.step([clip], people.boxes([clip]))[0] for clip in clips]


@pytest.fixture(scope="module")
def whole(videos: Path, tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of the long video alone."""
    out = tmp_path_factory.mktemp("whole") / "whole.zarr"
    assert run(*arguments(tiny_file, out, videos / "long.mp4"))[0] == 0
    return out


def only(archive: Path, name: str) -> str:
    """The id of the only video whose id starts with `name`."""
    (found,) = (path.name for path in (archive / "videos").iterdir() if path.name.startswith(name))
    return found


def test_the_store_holds_what_a_plain_loop_computes(archive: Path, videos: Path, tiny: nn.Module) -> None:
    expected = plain_loop(videos / "long.mp4", tiny)
    group = zarr.open_group(archive, mode="r")[f"videos/{only(archive, 'long')}"]
    assert isinstance(group, zarr.Group)
    assert np.array_equal(group["seconds"][:], [result.centre_seconds for result in expected])  # type: ignore[index]
    for name, attribute in {"action_scores": "scores", "box_features": "box_features"}.items():
        rows = np.concatenate([getattr(result, attribute) for result in expected])
        assert np.array_equal(group[name][:], rows), name  # type: ignore[index]
    assert np.array_equal(group["features"][:], np.stack([result.features for result in expected]))  # type: ignore[index,arg-type]
    assert group.attrs["clips"] == len(expected) == 70


def test_xarray_opens_a_video_with_labels(archive: Path) -> None:
    name = only(archive, "long")
    data = xarray.open_zarr(archive, group=f"videos/{name}", consolidated=False)
    sizes = {"seconds": 70, "edge": 2, "channel": 96, "detection": 70, "side": 4, "action": 80, "track": 1}
    assert sizes.items() <= dict(data.sizes).items()
    assert data.track_clips.sel(track=1) == 70 and (data.person.values == 1).all()
    assert data.features.sel(seconds=slice(10, 19.5)).shape == (10, 96)
    stand = data.action_scores.sel(action="stand").values
    assert np.array_equal(stand, data.action_scores.values[:, 11])
    ages = data.seconds.values[data.detection_clip.values]
    assert np.array_equal(ages, np.arange(70))


def test_videos_of_the_same_stem_in_two_folders_are_told_apart(archive: Path) -> None:
    states = dict(zarr.open_group(archive, mode="r")["videos"].groups())  # type: ignore[union-attr]
    same = [group.attrs for name, group in states.items() if name.startswith("same")]
    assert len(same) == 2 and same[0]["digests"] != same[1]["digests"]
    assert len({state["location"] for state in same}) == 2


@pytest.mark.parametrize("count", [2, 4])
def test_segments_give_the_results_of_one_run(
    count: int, whole: Path, videos: Path, tiny_file: Path, tmp_path: Path
) -> None:
    """They are equal in every bit: each segment is warmed up on the 12 clips before it, the model's receptive field."""
    cut_up = tmp_path / "segments.zarr"
    words = arguments(tiny_file, cut_up, videos / "long.mp4")
    assert run(*words, "--segment", 70 / count, "--commit", 5)[0] == 0
    assert differences(whole, cut_up) == []
    segments = zarr.open_group(cut_up, mode="r")[f"videos/{only(cut_up, 'long')}"].attrs["segments"]
    assert len(segments) == count and segments[0][0] is None and segments[-1][1] is None  # type: ignore[arg-type,index]


def test_without_its_warm_up_a_segment_would_differ(
    whole: Path, videos: Path, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = Engine.__init__

    def build_without_reach(self: Engine, *arguments: Any, **options: Any) -> None:
        build(self, *arguments, **options)
        self.reach_clips = 0

    monkeypatch.setattr(Engine, "__init__", build_without_reach)
    cut_up = tmp_path / "segments.zarr"
    assert run(*arguments(tiny_file, cut_up, videos / "long.mp4"), "--segment", 35)[0] == 0
    assert [line.split(": ")[1] for line in differences(whole, cut_up)] != []


def test_segments_of_a_video_with_gaps_are_warmed_up_from_further_back(tiny_file: Path, tmp_path: Path) -> None:
    """Clips are missing right before a boundary; they do not count as warm-up, so reading begins earlier."""
    frames = [index for index in range(400) if not (60 <= index < 160 or 230 <= index < 250)]
    video = write(tmp_path / "gaps.mkv", busy(len(frames), 64, 48), rate=8, pts=frames)
    assert run(*arguments(tiny_file, tmp_path / "whole.zarr", video))[0] == 0
    assert run(*arguments(tiny_file, tmp_path / "cut.zarr", video), "--segment", 12)[0] == 0
    assert differences(tmp_path / "whole.zarr", tmp_path / "cut.zarr") == []
    seconds = zarr.open_group(tmp_path / "whole.zarr")[f"videos/{only(tmp_path / 'whole.zarr', 'gaps')}/seconds"][:]  # type: ignore[index]
    assert 13.0 not in seconds and len(seconds) < 45  # type: ignore[arg-type,operator]


def test_a_batch_changes_nothing_but_rounding(archive: Path, videos: Path, tiny_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "batched.zarr"
    assert run(*arguments(tiny_file, out, videos), "--batch", 3, "--segment", 20)[0] == 1
    assert differences(archive, out, tolerance=1e-5) == []


def test_a_second_run_writes_nothing_again(archive: Path, videos: Path, tiny_file: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in archive.rglob("*") if path.is_file() and "videos/" in str(path)}
    code, output = run(*arguments(tiny_file, archive, videos))
    assert code == 1 and "0 videos done, 4 were done before, 1 failed" in output, output
    after = {path: path.stat().st_mtime_ns for path in archive.rglob("*") if path.is_file() and "videos/" in str(path)}
    assert before == after


def test_a_run_with_another_model_or_sampling_is_refused(archive: Path, videos: Path, tiny_file: Path) -> None:
    code, output = run(*arguments(tiny_file, archive, videos), "--hop", 2)
    assert code == 1 and "made with another sampling" in output and "name another --out" in output
    code, output = run(*arguments(tiny_file, archive, videos), "--no-memory")
    assert code == 1 and "made with the model memvit_tiny_8x4 with memory, and this run is without memory" in output
    random = ["--model", "memvit_tiny_8x4", "--random-weights", "--boxes", "full"]
    code, output = run("extract", videos, "--out", archive, *random)
    assert code == 1 and "made with other weights of the model memvit_tiny_8x4" in output


def test_a_broken_video_is_tried_again_only_on_request(videos: Path, tiny_file: Path, tmp_path: Path) -> None:
    video, out = tmp_path / "clip.mp4", tmp_path / "a.zarr"
    content = (videos / "a" / "same.mp4").read_bytes()
    video.write_bytes(content[:200])
    assert run(*arguments(tiny_file, out, video))[0] == 1
    video.write_bytes(content)
    code, output = run(*arguments(tiny_file, out, video))
    assert code == 1 and "1 failed" in output, "a failure stands until someone asks to try again"
    assert run(*arguments(tiny_file, out, video), "--retry-failed")[0] == 0
    code, output = run("info", out)
    assert code == 0 and "done 1 videos" in output and "failed" not in output


def test_a_changed_video_is_processed_again_only_on_request(videos: Path, tiny_file: Path, tmp_path: Path) -> None:
    video, out = tmp_path / "clip.mp4", tmp_path / "a.zarr"
    video.write_bytes((videos / "a" / "same.mp4").read_bytes())
    assert run(*arguments(tiny_file, out, video))[0] == 0
    video.touch()
    assert run(*arguments(tiny_file, out, video))[0] == 0, "a copy with another time is no other video"
    video.write_bytes((videos / "b" / "same.mp4").read_bytes())
    code, output = run(*arguments(tiny_file, out, video))
    assert code == 1 and "it changed since it was extracted; do it again with --redo-changed" in output
    assert run(*arguments(tiny_file, out, video), "--redo-changed")[0] == 0
    other = tmp_path / "other.zarr"
    assert run(*arguments(tiny_file, other, video))[0] == 0
    assert differences(out, other) == []


def test_damaged_files_of_an_archive_are_named_and_repaired(
    archive: Path, videos: Path, tiny_file: Path, tmp_path: Path
) -> None:
    """A shard, the names of the classes, the attributes of a video and of the archive: only what they concern fails."""
    out, words = tmp_path / "a.zarr", arguments(tiny_file, tmp_path / "a.zarr", videos)
    shutil.copytree(archive, out)
    long, same, frames = (
        only(out, "long"),
        sorted(path.name for path in out.glob("videos/same*"))[0],
        only(out, "frames"),
    )
    flip_bytes(out / "videos" / long / "features" / "c" / "0" / "0", 0.4, 0.9, 5)
    cut(out / "videos" / same / "action" / "c" / "0", 0.5)
    cut(out / "videos" / same / "features" / "zarr.json", 0.5)
    (out / "videos" / frames / "zarr.json").write_text('{"attributes": {')
    code, output = run("info", out, "--verify")
    assert code == 1 and f"damaged {long}: features" in output and f"{same}: features/zarr.json, action" in output
    assert f"damaged {frames}: zarr.json" in output, output
    code, output = run(*words)
    assert code == 1 and "0 videos done, 3 were done before, 2 failed" in output, output
    assert f"in the archive videos/{frames}/zarr.json is damaged" in output and "do it again with --verify" in output
    code, output = run("export", out, "--out", tmp_path / "a.csv", "--table", "features")
    assert code == 1 and "--verify" in output and "Traceback" not in output, output
    (out / "zarr.json").write_text("rot")
    code, output = run("info", out)
    assert code == 1 and "zarr.json is damaged" in output, output
    code, output = run(*words, "--verify")
    assert code == 1 and "3 videos done, 1 were done before, 1 failed" in output, output
    assert differences(archive, out) == []
    code, output = run("info", out, "--verify")
    assert code == 0 and "verified" in output, output


def test_a_changed_video_keeps_its_result_until_the_new_one_is_complete(
    videos: Path, tiny_file: Path, tmp_path: Path
) -> None:
    video, out = tmp_path / "clip.mp4", tmp_path / "a.zarr"
    video.write_bytes((videos / "a" / "same.mp4").read_bytes())
    words = arguments(tiny_file, out, video)
    assert run(*words)[0] == 0
    before = tmp_path / "before.zarr"
    shutil.copytree(out, before)
    video.write_bytes(video.read_bytes()[:200])  # It cannot be opened any more.
    code, output = run(*words, "--redo-changed")
    assert code == 1 and "1 failed" in output, output
    assert differences(before, out) == []
    code, output = run("info", out, "--verify")
    assert code == 0 and "done 1 videos" in output, output
    video.write_bytes((videos / "b" / "same.mp4").read_bytes())
    assert run(*words, "--redo-changed")[0] == 0
    assert differences(before, out) != [] and not (out / "work").exists()


def test_damaged_videos_fail_alone_or_give_what_can_be_read(tiny_file: Path, tmp_path: Path) -> None:
    """One damaged video never stops the others, and the results of its readable part are written."""
    videos = tmp_path / "videos"
    videos.mkdir()
    write(videos / "tail.mkv", busy(120, 64, 48), rate=12)
    cut(videos / "tail.mkv", 0.7)
    flip_bytes(write(videos / "bytes.ts", busy(120, 64, 48), rate=12), 0.3, 0.6, 40)
    write(videos / "one.mp4", busy(1, 64, 48))
    (videos / "empty.mp4").write_bytes(b"")
    (videos / "text.mp4").write_text("this is no video\n" * 50)
    code, output = run(*arguments(tiny_file, tmp_path / "a.zarr", videos))
    assert code == 1 and "3 videos done, 2 failed" in output, output
    code, output = run("info", tmp_path / "a.zarr", "--json")
    states = {Path(video["location"]).name: video for video in json.loads(output)["videos"]}
    assert states["one.mp4"]["clips"] == 1 and 5 <= states["tail.mkv"]["clips"] <= 8
    assert "corrupt" in states["bytes.ts"]["note"]
    assert states["empty.mp4"]["state"] == states["text.mp4"]["state"] == "failed"


def test_invalid_paths_exit_1_with_one_sentence(tiny_file: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    cases = {
        "there is no such file or folder": arguments(tiny_file, tmp_path / "a.zarr", tmp_path / "nothing.mp4"),
        "there is no video here": arguments(tiny_file, tmp_path / "a.zarr", tmp_path / "nothing"),
        "not empty and not an archive": arguments(tiny_file, tmp_path, write(tmp_path / "v.mp4", busy(2, 64, 48))),
    }
    for sentence, words in cases.items():
        code, output = run(*words)
        assert code == 1 and sentence in output and "Traceback" not in output, (sentence, output)
    code, output = run("info", tmp_path / "no.zarr")
    assert code == 1 and "there is no such archive" in output
    zarr.open_group(tmp_path / "other.zarr", mode="w").create_group("x")
    code, output = run("info", tmp_path / "other.zarr")
    assert code == 1 and "not an archive made by" in output
    code, output = run(*arguments(tiny_file, tmp_path / "other.zarr", tmp_path / "v.mp4"))
    assert code == 1 and "not an archive made by" in output


@pytest.mark.slow
def test_memory_does_not_grow_with_the_archive(tiny_file: Path, tmp_path: Path) -> None:
    """One long video, or many short ones, take the same memory as a few short ones."""
    folders = {name: tmp_path / name for name in ("few", "many", "long")}
    for folder in folders.values():
        folder.mkdir()
    short = small_video(folders["few"] / "0.mp4", seconds=8)
    for index in range(1, 4):
        shutil.copy(short, folders["few"] / f"{index}.mp4")
    for index in range(24):
        shutil.copy(short, folders["many"] / f"{index}.mp4")
    small_video(folders["long"] / "0.mp4", seconds=150, rate=6)
    peaks = {}
    for name, folder in folders.items():
        report = tmp_path / f"{name}.json"
        words = [*arguments(tiny_file, tmp_path / f"{name}.zarr", folder), "--commit", "16", "--report", report]
        code, output = Command(words).finish(200)
        assert code == 0, output
        peaks[name] = json.loads(report.read_text())["peak_memory_bytes"]
    assert peaks["many"] < 1.1 * peaks["few"] and peaks["long"] < 1.1 * peaks["few"], peaks


def test_export_writes_the_same_rows_in_every_format(archive: Path, tmp_path: Path) -> None:
    import pyarrow.parquet

    for form in ("parquet", "csv", "jsonl"):
        code, output = run("export", archive, "--out", tmp_path / f"actions.{form}", "--min-score", 0.5)
        assert code == 0 and "of 4 videos" in output, output
    table = pyarrow.parquet.read_table(tmp_path / "actions.parquet").to_pylist()
    lines = [json.loads(line) for line in (tmp_path / "actions.jsonl").read_text().splitlines()]
    assert table == lines and len((tmp_path / "actions.csv").read_text().splitlines()) == len(lines) + 1 > 100
    group = zarr.open_group(archive, mode="r")[f"videos/{only(archive, 'long')}"]
    scores = np.asarray(group["action_scores"][:])  # type: ignore[index]
    of_long = [row for row in lines if row["id"] == only(archive, "long")]
    assert len(of_long) == int((scores >= 0.5).sum())
    assert all(scores[row["detection"], row["action_id"] - 1] == np.float32(row["score"]) for row in of_long)
    assert {row["person"] for row in of_long} == {1}
    assert run("export", archive, "--out", tmp_path / "tracks.parquet", "--table", "tracks")[0] == 0
    tracks = {row["id"]: row for row in pyarrow.parquet.read_table(tmp_path / "tracks.parquet").to_pylist()}
    assert len(tracks) == 4 and tracks[only(archive, "long")]["clips"] == 70
    assert run("export", archive, "--out", tmp_path / "people.parquet", "--table", "people")[0] == 0
    people = pyarrow.parquet.read_table(tmp_path / "people.parquet").to_pylist()
    of_long = [row for row in people if row["id"] == only(archive, "long")]
    assert len(people) == 70 + 6 + 6 + 2 and [row["seconds"] for row in of_long] == list(range(70))
    assert np.array_equal([row["features"] for row in of_long], np.asarray(group["box_features"][:]))  # type: ignore[index]
    assert {(row["person"], row["x2"], row["box_score"]) for row in of_long} == {(1, 1.0, 1.0)}
    code, _ = run("export", archive, "--out", tmp_path / "features.parquet", "--table", "features")
    table = pyarrow.parquet.read_table(tmp_path / "features.parquet")
    assert code == 0 and table.num_rows == 70 + 6 + 6 + 2 and len(table["features"][0]) == 96
    code, output = run("export", archive, "--out", tmp_path / "actions.xlsx")
    assert code == 1 and "use parquet, csv, jsonl" in output and not (tmp_path / "actions.xlsx").exists()


def test_info_describes_a_checkpoint(tiny_file: Path) -> None:
    own = Path("memvit/data/models/memvit_tiny_long_cue.safetensors")
    code, output = run("info", own)
    assert code == 0 and "memvit_tiny_8x4" in output and "saw red" in output
    code, output = run("info", tiny_file)
    assert code == 0 and "does not describe itself" in output
    code, output = run("info", "setup.py")
    assert code == 1 and "neither an archive nor a checkpoint" in output
