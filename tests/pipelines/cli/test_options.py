"""Renamed options: the old name still works, with one note."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from pipelines.cli.options import RENAMED_OPTIONS, CommandWithRenamedOptions

app = typer.Typer()


@app.command(cls=CommandWithRenamedOptions)
def command(
    words: Annotated[list[str] | None, typer.Argument()] = None,
    overflow: Annotated[str, typer.Option()] = "auto",
    realtime: Annotated[bool, typer.Option("--realtime")] = False,
    min_score: Annotated[float, typer.Option()] = 0.5,
) -> None:
    typer.echo(f"{words} {overflow} {realtime} {min_score}")


@pytest.mark.parametrize(
    ("arguments", "parsed", "notes"),
    [
        (["--overflow", "wait"], "None wait False 0.5", []),
        (["--late", "wait"], "None wait False 0.5", ["--late is now called --overflow"]),
        (["--late=drop", "--pace"], "None drop True 0.5",
         ["--late is now called --overflow", "--pace is now called --realtime"]),
        (["--least", "0.1", "--least", "0.2"], "None auto False 0.2", ["--least is now called --min-score"]),
        (["--", "--late"], "['--late'] auto False 0.5", []),
    ],
)  # fmt: skip
def test_old_option_name_works_with_one_note(arguments: list[str], parsed: str, notes: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout.strip()) == (0, parsed), result.output
    assert [line.split(";")[0] for line in result.stderr.splitlines()] == [f"note: {note}" for note in notes]


def test_an_old_name_of_an_option_that_the_command_lacks_is_refused() -> None:
    result = CliRunner().invoke(app, ["--keep-memory", "3"])
    assert result.exit_code == 2 and "No such option: --keep-memory" in result.output


@pytest.mark.parametrize(
    ("name", "old"),
    [("watch", ("--late", "--keep-memory", "--pace")), ("serve", ("--pace",)), ("export", ("--least",))],
)
def test_commands_accept_the_old_names(name: str, old: tuple[str, ...]) -> None:
    from pipelines.cli.app import app as memvit_app

    found = typer.main.get_command(memvit_app).commands[name]  # type: ignore[attr-defined]
    assert isinstance(found, CommandWithRenamedOptions)
    options = {option for param in found.params for option in param.opts}
    assert {RENAMED_OPTIONS[option] for option in old} <= options
