"""`--help` in a terminal of 80 columns."""

from __future__ import annotations

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from pipelines.cli.app import app

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]
DEFAULT_DETECTOR = "fasterrcnn_mobilenet_v3_large_320_fpn"


def help_of(command: str) -> str:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80", "TERM": "dumb"})
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "import"])
def test_flags_have_no_type(command: str) -> None:
    assert "<bool>" not in help_of(command)


@pytest.mark.parametrize("command", ["watch", "serve", "extract"])
def test_the_default_detector_is_named_whole(command: str) -> None:
    assert DEFAULT_DETECTOR in help_of(command)
