"""Killed drivers and actors, full disks and a second job leave an archive equal to that of an undisturbed run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zarr

from memvit.results.result import Result
from memvit.store import Archive, writer_lock
from pipelines.extract.job import Job
from pipelines.extract.resume import MAX_ATTEMPTS, ResumePolicy
from pipelines.extract.segment import SegmentRun
from pipelines.extract.tasks import ExtractOptions, ExtractTask, SegmentLost, TaskEvent, Timings
from tests.processes import START_SECONDS, Command, actors, wait_for

from .archives import arguments, committed, differences, kill_after, run, small_video


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    for index in range(3):
        small_video(folder / f"v{index}.mp4", seed=index, seconds=60 if index == 1 else 12)
    (folder / "broken.mp4").write_bytes((folder / "v0.mp4").read_bytes()[:300])
    return folder


@pytest.fixture(scope="module")
def undisturbed(videos: Path, tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "archive.zarr"
    code, output = run(*arguments(tiny_file, out, videos))
    assert code == 1 and "3 videos done, 1 failed" in output, output
    return out


@pytest.mark.parametrize("commits", [(5,), pytest.param((2, 5, 4), marks=pytest.mark.slow)])
def test_a_run_that_is_killed_ends_with_an_equal_archive(
    commits: tuple[int, ...], undisturbed: Path, videos: Path, tiny_file: Path, tmp_path: Path
) -> None:
    """SIGKILL comes after some commits, once or more; in the end nothing but the results is in the archive."""
    out = tmp_path / "archive.zarr"
    words = [*arguments(tiny_file, out, videos), "--commit", "3", "--segment", "30"]
    for parts in commits:
        kill_after(Command(words), out, parts)
        assert differences(undisturbed, out) != []
    before = committed(out)
    code, output = Command(words).finish()
    assert code == 1 and "1 failed" in output, output
    assert before > 0 and differences(undisturbed, out) == []
    assert sorted(path.name for path in out.iterdir()) == ["videos", "zarr.json"]


def test_an_interrupt_commits_the_clips_that_were_processed(
    undisturbed: Path, videos: Path, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real SIGINT arrives after five clips, long before the first commit is due; the next run goes on from there."""
    out = tmp_path / "archive.zarr"
    take, processed = SegmentRun.take, 0

    def interrupted(self: SegmentRun, result: Result) -> int:
        nonlocal processed
        added = take(self, result)
        processed += added
        if processed == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return added

    with monkeypatch.context() as patch:
        patch.setattr(SegmentRun, "take", interrupted)
        patch.setattr("pipelines.extract.job.TURN_SECONDS", 0.05)
        code, output = run(*arguments(tiny_file, out, videos / "v1.mp4"), "--commit", 1000)
    assert code == 130 and "stopped after" in output, output
    assert committed(out) == 1
    (state,) = Archive.open(str(out)).videos()
    assert state.attempts == 0 and Archive.open(str(out)).work(state.id, 0).clips == processed < 60
    assert run(*arguments(tiny_file, out, videos))[0] == 1
    assert differences(undisturbed, out) == []


@pytest.mark.slow
def test_killed_actors_are_replaced(undisturbed: Path, videos: Path, tiny_file: Path, tmp_path: Path) -> None:
    """Decoders and workers are killed while they are busy; the job ends by itself, with the same results."""
    out, report = tmp_path / "archive.zarr", tmp_path / "report.json"
    words = [*arguments(tiny_file, out, videos), "--workers", "2", "--segment", "15", "--commit", "2"]
    command = Command([*words, "--report", report])
    for kind in ("Decoder", "Worker"):
        wanted = committed(out) + 2
        wait_for(lambda wanted=wanted: committed(out) >= wanted, START_SECONDS)
        for victim in actors(kind):
            os.kill(victim, signal.SIGKILL)
    code, output = command.finish(180)
    assert code == 1 and "3 videos done, 1 failed, workers died" in output, output
    assert json.loads(report.read_text())["workers_lost"] >= 2
    # Each worker has one thread, and sums that are split in another way round differently.
    assert differences(undisturbed, out, tolerance=2e-6) == []
    assert not actors("Worker") and not actors("Decoder")


def test_a_full_disk_is_reported_in_one_sentence(
    undisturbed: Path, videos: Path, tiny_file: Path, tmp_path: Path
) -> None:
    """The disk is a real memory file system of 400 KB. With space again, the same command finishes."""
    disk, copied = tmp_path / "disk", tmp_path / "copied"
    disk.mkdir()
    words = [*arguments(tiny_file, disk / "archive.zarr", videos), "--commit", "3"]
    command = " ".join([sys.executable, "-m", "pipelines.cli", *words])
    mount = f"mount -t tmpfs -o size=400k none {disk} || exit 99"
    script = f"{mount}; {command}; code=$?; cp -r {disk} {copied}; exit $code"
    if shutil.which("unshare") is None:
        pytest.skip("this system has no unshare")
    shell = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    done = subprocess.run(shell, capture_output=True, text=True, cwd=Path(__file__).parents[3], timeout=180)
    if done.returncode in (99, 126) or "unshare:" in done.stderr:
        pytest.skip(f"no file system can be mounted here: {done.stderr[-200:]}")
    output = " ".join(done.stderr.split())
    assert done.returncode == 1 and "the disk is full; free some space and run the same command again" in output, output
    assert "Traceback" not in output
    assert committed(copied / "archive.zarr") > 0
    assert run(*arguments(tiny_file, copied / "archive.zarr", videos), "--commit", 3)[0] == 1
    assert differences(undisturbed, copied / "archive.zarr") == []


def test_two_jobs_never_write_to_one_archive(videos: Path, tiny_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "archive.zarr"
    words = arguments(tiny_file, out, videos / "v0.mp4")
    with writer_lock(str(out)):
        code, output = run(*words)
        assert code == 1 and f"process {os.getpid()}" in output and "wait for it with --wait" in output, output
        assert not out.exists()
        waiting = Command([*words, "--wait"])
        wait_for(lambda: "waiting for process" in waiting.output.read_text())
        time.sleep(0.5)
        assert waiting.is_running and not out.exists()
    code, output = waiting.finish()
    assert code == 0 and "waiting for process" in output and "1 videos done" in output, output


def test_extract_to_a_url(undisturbed: Path, videos: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memvit.store.lease.POLL_SECONDS", 0.05)
    code, output = run(*arguments(tiny_file, "memory://there/archive.zarr", videos), "--commit", 7)
    assert code == 1 and "3 videos done" in output, output
    assert differences(undisturbed, "memory://there/archive.zarr") == []
    code, output = run("info", "memory://there/archive.zarr", "--verify")
    assert code == 0 and "verified" in output


def test_extract_to_an_object_store(
    videos: Path, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive lies on a server that speaks the S3 protocol over a real socket."""
    import boto3
    from moto.server import ThreadedMotoServer

    monkeypatch.setattr("memvit.store.lease.POLL_SECONDS", 0.05)
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        for name, value in {
            "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="bucket")
        out, local, video = "s3://bucket/archive.zarr", tmp_path / "archive.zarr", videos / "v0.mp4"
        assert run(*arguments(tiny_file, local, video))[0] == 0
        code, output = run(*arguments(tiny_file, out, video), "--commit", 5)
        assert code == 0 and "1 videos done" in output, output
        assert differences(local, out) == []
        code, output = run(*arguments(tiny_file, out, video))
        assert code == 0 and "0 videos done, 1 were done before" in output, output
        code, output = run("info", out, "--verify")
        assert code == 0 and "verified" in output
    finally:
        server.stop()


def test_a_damaged_part_is_computed_again(undisturbed: Path, videos: Path, tiny_file: Path, tmp_path: Path) -> None:
    """A part and a snapshot of an interrupted run are altered on disk; the results are right in the end."""
    out = tmp_path / "archive.zarr"
    words = [*arguments(tiny_file, out, videos), "--commit", "4"]
    kill_after(Command(words), out, 8)
    for damage in ("part", "memory"):
        pieces = sorted(out.glob(f"work/v1*/0/{damage}-*/c/0"))
        assert pieces
        content = bytearray(pieces[len(pieces) // 2].read_bytes())
        content[len(content) // 2] ^= 0xFF
        pieces[len(pieces) // 2].write_bytes(content)
    assert run(*words)[0] == 1
    assert differences(undisturbed, out) == []


def open_archive(undisturbed: Path, out: Path) -> Archive:
    """A new archive with the same provenance."""
    return Archive.create(str(out), Archive.open(str(undisturbed)).provenance)


class DyingPool:
    """A pool whose workers die of every segment."""

    def __init__(self) -> None:
        self.started: list[ExtractTask] = []
        self._open: list[ExtractTask] = []

    def free(self) -> int:
        return 2 - len(self._open)

    def begin(self, task: ExtractTask) -> None:
        self.started.append(task)
        self._open.append(task)

    def drop(self, key: str) -> None:
        self._open = [task for task in self._open if task.key != key]

    def events(self, seconds: float) -> list[TaskEvent]:
        lost, self._open = self._open, []
        return [SegmentLost(task.key, "killed") for task in lost]

    def timings(self) -> Timings:
        return Timings()

    def close(self) -> None:
        pass


def test_a_video_that_kills_its_workers_fails_in_the_end(undisturbed: Path, videos: Path, tmp_path: Path) -> None:
    import threading

    archive, pool = open_archive(undisturbed, tmp_path / "a.zarr"), DyingPool()
    summary = Job(archive, [str(videos / "v0.mp4")], ExtractOptions(), pool, ResumePolicy()).run(threading.Event())
    assert len(pool.started) == MAX_ATTEMPTS and len(summary.failed) == 1 and summary.lost == MAX_ATTEMPTS
    state = archive.video(next(iter(summary.failed)))
    assert state is not None and f"died {MAX_ATTEMPTS} times after clip 0 (killed)" in state.reason


def test_segments_that_disagree_are_read_again_in_one_piece(
    undisturbed: Path, videos: Path, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading from the middle gives other frames here; the checksums show it, and the video is read as a whole."""
    from pipelines.extract.reading import ReadSettings

    opened = ReadSettings._open

    def shifted(self: ReadSettings, location: str, from_seconds: float) -> object:
        source = opened(self, location, from_seconds)
        if from_seconds > 0:
            next(source)
            source.__class__ = type("InconsistentSource", (source.__class__,), {"__next__": _every_second})
        return source

    monkeypatch.setattr(ReadSettings, "_open", shifted)
    out = tmp_path / "archive.zarr"
    assert run(*arguments(tiny_file, out, videos), "--segment", "20")[0] == 1
    assert differences(undisturbed, out) == []
    notes = [group.attrs["note"] for _, group in zarr.open_group(out)["videos"].groups()]  # type: ignore[union-attr]
    assert any("read in one piece" in str(note) for note in notes)


def _every_second(source: object) -> object:
    base = type(source).__mro__[1]
    base.__next__(source)  # type: ignore[attr-defined]
    return base.__next__(source)  # type: ignore[attr-defined]
