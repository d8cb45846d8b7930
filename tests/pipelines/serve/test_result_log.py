"""Results of a server: a file a day, old ones deleted, whole lines after a crash."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from memvit.events.files import read_clips
from memvit.labels import Labels
from memvit.results.result import Result
from pipelines.serve.result_log import ResultLog

LABELS = Labels(("wave", "walk"))
DAY = 86400.0
NOON = 1_777_032_000.0
"""2026-04-24 12:00 UTC."""


def a_result(seconds: float) -> Result:
    scores = np.array([[0.75, 0.25]], np.float32)
    return Result("cam", int(seconds), seconds, seconds, seconds, None, scores, centre_unix=NOON + seconds)


def test_there_is_a_file_a_day_and_old_ones_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results-2026-04-21.jsonl").write_text("old\n")
    (tmp_path / "results-2026-99-99.jsonl").write_text("of somebody else\n")
    log = ResultLog(tmp_path, LABELS, days=2)
    now = NOON
    monkeypatch.setattr(time, "time", lambda: now)
    log.add([a_result(0), a_result(1)])
    log.add([])
    now += DAY
    log.add([a_result(2)])
    log.close()
    days = ["results-2026-04-24.jsonl", "results-2026-04-25.jsonl"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [*days, "results-2026-99-99.jsonl"]
    clips = [clip for day in days for clip in read_clips(tmp_path / day)]
    assert [(clip.seconds, clip.unix_seconds) for clip in clips] == [(n, NOON + n) for n in range(3)]


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOON)
    path = tmp_path / "results-2026-04-24.jsonl"
    path.write_text('{"half')
    log = ResultLog(tmp_path, LABELS, days=2)
    log.add([a_result(0)])
    assert [json.loads(line)["clip"] for line in path.read_text().splitlines()[1:]] == [0]
    log.close()


def test_a_folder_that_is_gone_is_an_error_and_tried_again(tmp_path: Path) -> None:
    log = ResultLog(tmp_path / "history", LABELS, days=2)
    with pytest.raises(OSError):
        log.add([a_result(0)])
    (tmp_path / "history").mkdir()
    log.add([a_result(1)])
    (path,) = (tmp_path / "history").iterdir()
    assert len(path.read_text().splitlines()) == 1
    log.close()
