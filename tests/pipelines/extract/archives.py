"""Helpers of the tests of archives: small real videos, extractions as processes, comparison of two archives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import zarr
from typer.testing import CliRunner

from memvit.datasets.long_cue import Scene, write_video
from memvit.engine.snapshot import StreamSnapshot
from memvit.store import Rows, SegmentWork
from pipelines.cli.app import app
from tests.processes import Command, wait_for


def run(*arguments: object) -> tuple[int, str]:
    """Run `memvit …` in this process; return its exit code and its whole output on one line."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.split())


def arguments(tiny_file: Path, out: object, *inputs: object) -> list[str]:
    """The arguments of `memvit extract` with the tiny model and one box for each whole frame."""
    words = ["extract", *inputs, "--out", out, "--model", "memvit_tiny_8x4", "--checkpoint", tiny_file]
    return [str(word) for word in [*words, "--boxes", "full"]]


def committed(archive: Path) -> int:
    """The number of parts of running videos that are on disk now."""
    while True:
        try:
            return len(list(archive.glob("work/*/*/part-*/c/0")))
        except FileNotFoundError:  # A video was finished, and its parts removed, meanwhile.
            continue


def kill_after(command: Command, archive: Path, parts: int) -> None:
    """Kill the command with SIGKILL once so many more parts are on disk."""
    wanted = committed(archive) + parts
    wait_for(lambda: committed(archive) >= wanted or not command.is_running)
    command.kill()


class Killed(BaseException):
    """Ends a job within this process, as a kill would."""


@contextmanager
def killed_after(commits: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The job that is run within ends after so many commits."""
    commit, made = SegmentWork.commit, 0

    def dying(self: SegmentWork, rows: Rows, snapshot: StreamSnapshot, warm_up: dict[int, int]) -> None:
        nonlocal made
        made += 1
        if made > commits:
            raise Killed
        commit(self, rows, snapshot, warm_up)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(SegmentWork, "commit", dying)
        yield


def small_video(path: Path, seed: int = 0, seconds: float = 20, rate: float = 12) -> Path:
    """Write a real H.264 video of 96 × 64 pixels."""
    write_video(Scene(seed=seed, seconds=seconds, width=96, height=64, frames_per_second=rate), path)
    return path


def differences(one: Path | str, other: Path | str, tolerance: float = 0.0) -> list[str]:
    """Names of what differs between two archives: videos, their attributes, every array.

    Floating-point arrays may differ by `tolerance`.
    """
    first, second = (zarr.open_group(str(path), mode="r") for path in (one, other))
    found: list[str] = []
    ids = [sorted(store["videos"].keys()) for store in (first, second)]  # type: ignore[union-attr]
    if ids[0] != ids[1]:
        return [f"videos: {ids}"]
    for name in ids[0]:
        a, b = first[f"videos/{name}"], second[f"videos/{name}"]
        assert isinstance(a, zarr.Group) and isinstance(b, zarr.Group)
        compared = ["state", "clips", "people", "fingerprint", "location"] + ["digests"] * (tolerance == 0)
        found += [f"{name}: {key}" for key in compared if a.attrs.get(key) != b.attrs.get(key)]
        if sorted(a.keys()) != sorted(b.keys()):
            found.append(f"{name}: {sorted(a.keys())} {sorted(b.keys())}")
            continue
        for key in a:
            x, y = np.asarray(a[key][:]), np.asarray(b[key][:])  # type: ignore[index]
            is_close = x.dtype.kind == "f" and tolerance and np.allclose(x, y, rtol=0, atol=tolerance)
            if not (x.shape == y.shape and (is_close or np.array_equal(x, y))):
                found.append(f"{name}: {key}")
    return found
