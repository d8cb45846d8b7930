"""Places that cannot be written are refused before any work is done."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import memvit
from memvit.engine.settings import ModelSettings
from memvit.types import MemvitError
from memvit.video.sources.preflight import check_sources
from pipelines.cli.app import app
from pipelines.outputs import check_file, check_folder
from tests.video import make


@pytest.mark.parametrize(
    ("check", "name", "reason"),
    [
        (check_folder, "file", "file: results go into a folder, and this is a file; name another folder with --out"),
        (check_folder, "file/a/b", "file is a file, not a folder"),
        (check_file, "folder", "folder: this is a folder; name a file with --out"),
        (check_file, "none/table.csv", "there is no folder .*none; make it"),
    ],
)
def test_unwritable_places_are_refused(tmp_path: Path, check: Callable[[Path], None], name: str, reason: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(MemvitError, match=reason):
        check(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_missing_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_folder(tmp_path / "new/deep")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(MemvitError, match="permission denied"):
        check_folder(tmp_path / "new/deep")


IS_FILE = "file: results go into a folder, and this is a file"
MOTION = str(Path(__file__).parents[2] / "configs/motion.yaml")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make.write(tmp_path_factory.mktemp("video") / "video.mp4", make.counted(3))


@pytest.mark.parametrize(
    ("arguments", "reasons"),
    [
        (("watch", "video.mp4", "--out", "file"), [IS_FILE]),
        (("extract", "video.mp4", "--out", "file"), [IS_FILE]),
        (("extract", "video.mp4", "--out", "a.zarr", "--report", "none/report.json"), ["there is no folder none"]),
        (("demo", "--out", "file"), [IS_FILE]),
        (("export", "a.zarr", "--out", "none/table.csv"), ["there is no folder none"]),
        (("train", MOTION, "run.out=file"), [IS_FILE]),
        (("evaluate", MOTION, "--out", "file"), [IS_FILE]),
        (("watch", "missing.mp4", "--out", "out"), ["missing.mp4: there is no such file"]),
        (("watch", "/dev/video98", "--out", "out"), ["/dev/video98: there is no such file or device; check the path"]),
        (("watch", "broken.mp4", "missing.mp4", "--out", "out"),
         ["broken.mp4: this is not a video", "missing.mp4: there is no such file"]),
        (("watch", "video.mp4", "--boxes", "boxes.csv", "--out", "out"),
         ["boxes.csv: there are no boxes of a video 'video' in it; it has other; name the file"]),
        (("extract", "video.mp4", "--boxes", "boxes.csv", "--out", "a.zarr"), ["no boxes of a video 'video'"]),
    ],
)  # fmt: skip
def test_commands_refuse_before_they_load_a_model(
    arguments: tuple[str, ...], reasons: list[str], video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(settings: ModelSettings) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(ModelSettings, "build", build)
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("broken.mp4").write_text("not a video")
    Path("video.mp4").write_bytes(video.read_bytes())
    Path("boxes.csv").write_text("other,0902,0.1,0.1,0.5,0.9,1,0\n")
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, SystemExit) and result.exit_code == 1, (result.exception, result.output)
    assert all(reason in " ".join(result.output.split()) for reason in reasons), result.output
    assert not any(Path(name).exists() for name in ("out", "a.zarr", "none"))


def test_one_good_source_is_enough_to_begin(video: Path, tmp_path: Path) -> None:
    check_sources([str(tmp_path / "missing.mp4"), str(video)])
    check_sources(["rtsp://camera/main"])
    os.mkfifo(tmp_path / "pipe")
    check_sources([str(tmp_path / "pipe")])
    with pytest.raises(MemvitError, match="missing"):
        memvit.watch(tmp_path / "missing.mp4").__next__()


def test_a_timeline_that_cannot_be_drawn_is_the_failure_of_its_stream(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw_timeline(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("memvit.results.timeline.draw_timeline", draw_timeline)
    arguments = ["watch", str(video), "--model", "memvit_tiny_8x4", "--random-weights", "--boxes", "full"]
    result = CliRunner().invoke(app, [*arguments, "--timeline", "--out", str(tmp_path)])
    assert result.exit_code == 1 and f"failed: {tmp_path / 'video.png'}: the disk is full" in result.output
    assert "1 of 1 sources failed" in result.output and (tmp_path / "video.jsonl").read_text()
