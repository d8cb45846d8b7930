"""Text that every JSON parser accepts, whatever the numbers are."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from memvit.json_text import json_text
from memvit.training.log import RunLog


def strict(text: str) -> Any:
    """The value of a JSON text; ValueError for NaN and Infinity, which only Python's parser accepts."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": 1.5, "b": [True, None, "läuft"]}, {"a": 1.5, "b": [True, None, "läuft"]}),
        (math.nan, None),
        ({"a": math.inf, "b": [-math.inf, 2]}, {"a": None, "b": [None, 2]}),
        ([{"a": (1.0, math.nan)}], [{"a": [1.0, None]}]),
    ],
)
def test_numbers_that_are_not_finite_become_null(value: Any, written: Any) -> None:
    assert strict(json_text(value)) == written
    assert strict(json_text(value, indent=1)) == written


def test_training_log_is_valid_json_where_a_value_is_nan(tmp_path: Path) -> None:
    with RunLog(tmp_path, from_step=0) as log:
        log.write(1, loss=math.nan, gradient_norm=math.inf, learning_rate=0.5)
    assert strict((tmp_path / "log.jsonl").read_text()) == {
        "total_steps": 1, "loss": None, "gradient_norm": None, "learning_rate": 0.5,
    }  # fmt: skip
