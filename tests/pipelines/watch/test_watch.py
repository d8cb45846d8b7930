"""`memvit watch` on real files: complete results, several sources, failures, an interrupt, memory that stays flat."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from memvit.boxes import open_boxes
from memvit.boxes.pixels import boxes_in_pixels
from memvit.datasets.long_cue import Scene, write_boxes, write_video
from memvit.engine.engine import Engine
from memvit.labels import labels_for
from memvit.models import MODELS, create_model
from memvit.models.preprocessing import model_input
from memvit.results.result import Result
from memvit.streams.watcher import ClipResult
from memvit.types import Clip
from memvit.video.clips.sampler import ClipSampler
from memvit.video.sources.location import unique_names
from memvit.video.sources.open import open_source
from pipelines.cli.app import app
from pipelines.watch.run import StreamFiles, StreamSummary, WatchOptions, watch
from tests.processes import START_SECONDS, Command, wait_for

TINY = "memvit_tiny_8x4"


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real H.264 videos with boxes, one of them portrait; and a broken one."""
    folder = tmp_path_factory.mktemp("videos")
    for name, scene in {
        "wide": Scene(seed=1, seconds=7, width=160, height=96, frames_per_second=25),
        "tall": Scene(seed=2, seconds=5, width=96, height=128, actors=2, frames_per_second=12),
    }.items():
        write_video(scene, folder / f"{name}.mp4")
        write_boxes(scene, name, folder / f"{name}.csv")
    text = (folder / "wide.csv").read_text() + (folder / "tall.csv").read_text()
    (folder / "boxes.csv").write_text(text)
    (folder / "broken.mp4").write_bytes((folder / "wide.mp4").read_bytes()[:300])
    return folder


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and everything printed."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_all_output_files_are_written(videos: Path, tiny_file: Path, tmp_path: Path) -> None:
    code, output = run(
        "watch", videos / "wide.mp4", "--model", TINY, "--checkpoint", tiny_file, "--boxes", videos / "boxes.csv",
        "--out", tmp_path, "--annotate", "--timeline", "--ava-csv",
    )  # fmt: skip
    assert code == 0, output
    found = records(tmp_path / "wide.jsonl")
    assert [record["seconds"] for record in found] == [0, 1, 2, 3, 4, 5, 6]
    assert [record["clip"] for record in found] == list(range(7))
    assert [record["memory"]["attended_seconds"] for record in found][3:5] == [[2.0], [2.0, 4.0]]
    assert all(len(record["people"]) == 3 for record in found)
    assert found[0]["people"][0]["actions"][0]["name"] in labels_for(80, "ava").names
    assert len((tmp_path / "wide.csv").read_text().splitlines()) == 7 * 3 * 80
    with av.open(str(tmp_path / "wide.mp4")) as container:
        sizes = [(frame.width, frame.height) for frame in container.decode(video=0)]
    assert len(sizes) == 7 * 25
    assert {width for width, _ in sizes} == {640}, "the width that is asked for, though the source has 160"
    assert 384 < sizes[0][1] < 1.2 * 384, "the strip is below the picture"
    assert (tmp_path / "wide.png").stat().st_size > 1000
    assert "7 clips" in output and "× real time" in output


@torch.inference_mode()
def test_results_are_those_of_the_model_run_by_hand(
    videos: Path, tiny: nn.Module, tiny_file: Path, tmp_path: Path
) -> None:
    """The command gives the same numbers as a loop that decodes, samples and calls the model."""
    boxes = videos / "tall.csv"
    code, _ = run("watch", videos / "tall.mp4", "--model", TINY, "--checkpoint", tiny_file, "--boxes", boxes,
                  "--out", tmp_path, "--all-scores")  # fmt: skip
    assert code == 0
    preprocessing = MODELS[TINY].preprocessing
    sampler = ClipSampler("tall", num_frames=8, frame_interval=4, hop_seconds=1, short_side=64)
    memory = None
    with open_source(videos / "tall.mp4") as source:
        clips = list(sampler.clips(source))
    found = records(tmp_path / "tall.jsonl")
    assert len(found) == len(clips) == 5
    for clip, record in zip(clips, found, strict=True):
        height, width = clip.frames.shape[1:3]
        people = open_boxes(str(boxes)).boxes([clip])[0]
        pixels = torch.from_numpy(boxes_in_pixels(people.xyxy, (width, height), clip.source_size))
        logits, memory = tiny(model_input(torch.from_numpy(clip.frames)[None], preprocessing), [pixels], memory)
        for row, person in zip(logits.sigmoid(), record["people"], strict=True):
            scores = {action["id"]: action["score"] for action in person["actions"]}
            np.testing.assert_allclose([scores[number] for number in range(1, 81)], row, atol=6e-5)


def test_several_sources_at_once_give_what_each_gives_alone(videos: Path, tiny_file: Path, tmp_path: Path) -> None:
    common = ("--model", TINY, "--checkpoint", tiny_file, "--boxes", videos / "boxes.csv", "--all-scores")
    code, output = run(
        "watch", videos / "wide.mp4", videos / "broken.mp4", videos / "tall.mp4", *common, "--out", tmp_path / "all"
    )
    assert code == 1
    assert "broken.mp4: there is no video in it" in output and "1 of 3 sources failed" in output
    for name in ("wide", "tall"):
        run("watch", videos / f"{name}.mp4", *common, "--out", tmp_path / name)
        together, alone = records(tmp_path / f"all/{name}.jsonl"), records(tmp_path / f"{name}/{name}.jsonl")
        assert len(together) == len(alone)
        for first, second in zip(together, alone, strict=True):
            for one, other in zip(first["people"], second["people"], strict=True):
                of_one = {action["id"]: action["score"] for action in one["actions"]}
                of_other = {action["id"]: action["score"] for action in other["actions"]}
                assert max(abs(of_one[number] - of_other[number]) for number in of_one) <= 1e-4
    assert not (tmp_path / "all/broken.jsonl").exists()


def test_memory_can_be_switched_off(videos: Path, tiny_file: Path, tmp_path: Path) -> None:
    common = ("watch", videos / "wide.mp4", "--model", TINY, "--checkpoint", tiny_file, "--boxes", "full")
    run(*common, "--out", tmp_path / "with")
    run(*common, "--no-memory", "--out", tmp_path / "without")
    remembered, forgotten = records(tmp_path / "with/wide.jsonl"), records(tmp_path / "without/wide.jsonl")
    assert all(record["memory"] == {"clips": 0, "attended_seconds": [], "reach_seconds": 0.0} for record in forgotten)
    # Nothing can be read before the third clip.
    assert [one["people"] == other["people"] for one, other in zip(remembered, forgotten, strict=True)][:3] == [
        True,
        True,
        False,
    ]


def test_a_clip_classifier_needs_no_boxes(videos: Path, tmp_path: Path) -> None:
    code, output = run("watch", videos / "tall.mp4", "--model", "mvitv2_s_16x4.ssv2", "--random-weights", "--until", 2,
                       "--out", tmp_path, "--annotate", "--json")  # fmt: skip
    assert code == 0, output
    found = records(tmp_path / "tall.jsonl")
    assert [record["seconds"] for record in found] == [0, 1]
    assert found[0]["actions"][0]["name"] in labels_for(174, "ssv2").names
    assert (tmp_path / "tall.jsonl").read_text().splitlines()[0] in output


def test_a_folder_of_ava_frames(videos: Path, tiny_file: Path, tmp_path: Path) -> None:
    """Frames of second 900 on, as AVA's are; boxes are found by the second."""
    folder = tmp_path / "wide"
    folder.mkdir()
    with av.open(str(videos / "wide.mp4")) as container:
        for number, frame in enumerate(container.decode(video=0), 1):
            frame.to_image().save(folder / f"wide_{number:06d}.jpg", quality=95)
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("wide,0902,0.1,0.1,0.5,0.9,1,0\n")
    code, output = run("watch", folder, "--model", TINY, "--checkpoint", tiny_file, "--boxes", boxes, "--out", tmp_path,
                       "--start", 900, "--frames-per-second", 25)  # fmt: skip
    assert code == 0, output
    assert {record["seconds"]: len(record["people"]) for record in records(tmp_path / "wide.jsonl")} == {
        900: 0, 901: 0, 902: 1, 903: 0, 904: 0, 905: 0, 906: 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["missing.mp4", "--boxes", "full"], 1, "missing.mp4: there is no such file"),
        (["[/odd] name.mp4", "--boxes", "full"], 1, "[/odd] name.mp4: there is no such file"),
        (["wide.mp4", "--boxes", "nobody.csv"], 1, "nobody.csv: the boxes cannot be read"),
        (["wide.mp4", "--boxes", "people"], 1, "use full, the path of a .csv file, or a detector"),
        (["wide.mp4", "--model", "memvit_17"], 1, "there is no model 'memvit_17'"),
        (["wide.mp4", "--checkpoint", "nowhere.pth"], 1, "exclude each other"),
        (["wide.mp4", "--device", "cuda:9", "--boxes", "full"], 1, "no GPU that torch can use"),
        (["wide.mp4", "--device", "toaster"], 1, "no such device"),
        (["wide.mp4", "--precision", "int3"], 1, "use one of float32, bfloat16, int8, or auto"),
        (["wide.mp4", "--hop", "0"], 2, "--hop"),
        (["wide.mp4", "--until", "0"], 2, "0 is not a number of seconds greater than 0"),
        (["wide.mp4", "--until", "-1"], 2, "-1 is not a number of seconds greater than 0"),
        (["wide.mp4", "--until", "nan"], 2, "nan is not a number of seconds greater than 0"),
        (["wide.mp4", "--hop", "0.5", "--ava-csv", "--boxes", "full"], 1, "use a hop of 1"),
        ([], 2, "Missing argument"),
        (["wide.mp4", "--frobnicate"], 2, "No such option"),
    ],
)
def test_invalid_options_exit_with_one_sentence(
    arguments: list[str], code: int, sentence: str, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(videos)
    defaults = [] if "--model" in arguments else ["--model", TINY]
    found, output = run("watch", *arguments, *defaults, "--random-weights", "--out", tmp_path)
    assert (found, sentence in " ".join(output.split())) == (code, True), output
    assert "Traceback" not in output


def test_missing_camera_fails_only_its_stream(videos: Path, tmp_path: Path) -> None:
    arguments = ("--model", TINY, "--random-weights", "--boxes", "full", "--out", tmp_path)
    code, output = run("watch", "/dev/video98", videos / "tall.mp4", *arguments)
    assert code == 1 and "failed: /dev/video98: there is no such file or device; check the path" in output
    assert "1 of 2 sources failed" in output and len(records(tmp_path / "tall.jsonl")) == 5


@pytest.mark.parametrize(("is_live", "clips"), [(True, 3), (False, 5)])
def test_a_live_timeline_keeps_the_last_clips_and_no_features(
    is_live: bool, clips: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Result] = []
    monkeypatch.setattr("memvit.results.timeline.draw_timeline", lambda results, *_, **__: drawn.extend(results))
    monkeypatch.setattr("pipelines.watch.run.LIVE_TIMELINE_CLIPS", 3)
    frames = np.zeros((1, 1, 1, 3), np.uint8)
    scores, features = np.zeros((1, 80), np.float32), np.zeros(768, np.float32)
    options = WatchOptions(tmp_path, timeline=True)
    files = StreamFiles(StreamSummary("a", "a"), labels_for(80, "ava"), options, is_live=is_live)
    for second in range(5):
        result = Result("a", second, second, second, second, None, scores, features=features, box_features=scores)
        files.write(Clip("a", second, second, second, second, frames), result)
    files.close()
    assert [result.centre_seconds for result in drawn] == list(range(5))[-clips:]
    assert all(result.features is None and result.box_features is None for result in drawn)


def test_model_without_weights_is_refused(videos: Path, tmp_path: Path) -> None:
    code, output = run("watch", videos / "wide.mp4", "--model", TINY, "--boxes", "full", "--out", tmp_path)
    assert code == 1 and "has no published weights; pass --checkpoint FILE, or --random-weights" in " ".join(
        output.split()
    )


def test_an_interrupt_finishes_the_files(tmp_path: Path) -> None:
    """A real process, a real SIGINT in the middle of a long video."""
    video = tmp_path / "long.mp4"
    write_video(Scene(seconds=300, width=96, height=64, frames_per_second=10), video)
    words = ("watch", video, "--model", TINY, "--random-weights", "--boxes", "full", "--out", tmp_path / "out",
             "--annotate", "--timeline", "--json")  # fmt: skip
    command = Command(words, messages=tmp_path / "errors.txt")
    printed = command.output
    wait_for(lambda: printed.read_text().count("\n") >= 4 or not command.is_running, START_SECONDS)
    assert printed.read_text().count("\n") >= 4, "the process ended early"
    command.send(signal.SIGINT)
    code, _ = command.finish(60)
    errors = (tmp_path / "errors.txt").read_text()
    assert code == 130, errors
    assert "stopped in" in errors and "Traceback" not in errors
    found = records(tmp_path / "out/long.jsonl")
    assert 4 <= len(found) < 300
    assert len(found) == len(printed.read_text().splitlines())
    with av.open(str(tmp_path / "out/long.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 10 * (len(found) - 1)
    assert (tmp_path / "out/long.png").exists()


def test_readers_wait_for_a_slow_consumer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a slow consumer the readers wait: the number of clips in memory is bounded, whatever the video's length."""
    video = tmp_path / "long.mp4"
    write_video(Scene(seconds=60, width=64, height=48, frames_per_second=10), video)
    engine = Engine(create_model(TINY), MODELS[TINY].preprocessing)
    sampled: list[float] = []
    ahead: list[int] = []
    push = ClipSampler.push

    def counted(self: ClipSampler, frame: object) -> object:
        clips = push(self, frame)  # type: ignore[arg-type]
        sampled.extend(clip.centre_seconds for clip in clips)
        return clips

    monkeypatch.setattr(ClipSampler, "push", counted)

    def on_event(stream: object, event: object) -> None:
        if isinstance(event, ClipResult):
            time.sleep(0.01)
            ahead.append(len(sampled) - event.result.clip_index)

    before = threading.active_count()
    summary = watch([str(video)], engine, open_boxes("full"), labels_for(80, "ava"), WatchOptions(tmp_path), on_event)
    assert summary.streams[0].clips == 60
    assert max(ahead[:-5]) <= 6
    assert threading.active_count() <= before + 1


def test_names_of_results_never_collide() -> None:
    assert unique_names(["a/x.mp4", "b/x.mp4", "c/x.avi", "d/y.mp4"]) == ["x", "x-2", "x-3", "y"]


def test_models_are_listed() -> None:
    code, output = run("models", "memvit*", "--json")
    assert code == 0
    rows = {row["name"]: row for row in json.loads(output)}
    assert rows["memvit_16_16x4.ava_k400"]["parameters"] == 42_230_624
    assert rows["memvit_16_16x4.ava_k400"]["licence"] == "CC-BY-NC-4.0"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("resnet*", "no model matches 'resnet*'; `memvit models` lists all of them"),
        ("memvit_16", "there is no model 'memvit_16'; did you mean memvit_16_16x4.ava_k400"),
    ],
)
def test_unknown_models_exit_1_with_one_sentence(name: str, sentence: str) -> None:
    code, output = run("models", name)
    assert code == 1 and sentence in " ".join(output.split())


def test_demo_writes_all_files_and_shows_the_value_of_memory(tmp_path: Path) -> None:
    code, output = run("demo", "--out", tmp_path, "--seconds", 20)
    assert code == 0, output
    assert {path.name for path in tmp_path.iterdir()} == {
        "input",
        "shapes.jsonl",
        "shapes.csv",
        "shapes.mp4",
        "shapes.png",
        "without_memory",
    }
    found = {name: float(value) for name, value in re.findall(r"(with memory|without): ([\d.]+)", output)}
    assert found["with memory"] > 0.95 and found["without"] < 0.6
    said = re.findall(
        r"person (\d): 'saw \w+' is true in (\d+) clips, and the best answer in (\d+) with memory", output
    )
    assert [person for person, _, _ in said] == ["1", "2", "3"]
    assert sum(int(right) for _, _, right in said) > 0.5 * sum(int(clips) for _, clips, _ in said)


def test_scores_that_are_not_finite_end_the_stream(videos: Path, tmp_path: Path) -> None:
    model = create_model(TINY)
    with torch.no_grad():
        model.head.projection.weight.copy_(torch.randn(80, model.head.projection.in_features).sign() * 3e38)
    torch.save(model.state_dict(), tmp_path / "large.pth")
    wide = videos / "wide.mp4"
    weights = ("--model", TINY, "--checkpoint", tmp_path / "large.pth")
    code, output = run("watch", wide, "--out", tmp_path / "out", "--boxes", "full", *weights)
    assert code == 1
    assert "the model's scores for the clip at" in output and "are not finite numbers" in output
    assert (tmp_path / "out" / "wide.jsonl").read_text() == ""
