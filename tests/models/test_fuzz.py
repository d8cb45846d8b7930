"""A part of the hostile checkpoints of `tools/fuzz_checkpoints.py`, through everything that reads a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from memvit.models import CheckpointError
from memvit.types import MemvitError
from tools.fuzz_checkpoints import try_file
from tools.hostile_checkpoints import make_cases


def test_hostile_checkpoints_are_refused_in_one_sentence(tmp_path: Path) -> None:
    """Every third; the tool tries all, under limits."""
    cases = make_cases(tmp_path, seed=1, count=160, bomb_bytes=2 * 10**7)
    try_file(cases[0].path)
    for case in cases[1::3]:
        if case.must_be_refused:
            with pytest.raises((MemvitError, CheckpointError)):
                try_file(case.path)
