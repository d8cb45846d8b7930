"""`memvit teach`: an action from labelled moments of an archive."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from memvit.json_text import json_text
from pipelines.terminal import console, one_sentence

from .find import AsJson, Store


def teach_command(
    store: Store,
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS.csv", help="Labelled moments: video,seconds,person,label (1 or 0).")
    ],
    name: Annotated[str | None, typer.Option(help='Name of the action, such as "opens fridge".')] = None,
    out: Annotated[Path | None, typer.Option(help="File to write the head to (.safetensors).")] = None,
    reads: Annotated[
        str | None, typer.Option(help="people or clips; by default people if a label names a person.")
    ] = None,
    suggest: Annotated[
        int, typer.Option(min=0, help="Print so many moments that are worth labelling next, as CSV.")
    ] = 0,
    picture: Annotated[
        Path | None, typer.Option(help="PNG of precision and recall; by default beside the head.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Teach an action from examples: a linear head on the features that the archive holds already.

    Use it with `memvit find --head`, `memvit watch --head` and `memvit serve --head`.
    """
    from memvit.teaching.moments import question_rows
    from pipelines.outputs import check_file
    from pipelines.teach import check_wanted, run_teach, taught_record, taught_text

    if reads not in (None, "people", "clips"):
        raise typer.BadParameter(f"--reads {reads}: use people or clips")
    if out is not None and out.suffix != ".safetensors":
        raise typer.BadParameter(f"--out {out}: the name of a head ends in .safetensors")
    if out is None and not suggest:
        raise typer.BadParameter("name a file for the head with --out, or ask for moments with --suggest")
    with one_sentence(store):
        check_wanted(name, out, suggest)
        for path, option in ((out, "--out"), (picture, "--picture")):
            if path is not None:
                check_file(path, option)
        report = run_teach(store, labels, name, out, reads=reads, ask=suggest, picture=picture)  # type: ignore[arg-type]
        for note in report.notes:
            console.print(f"note: {note}", markup=False, soft_wrap=True)
        if report.taught is not None and as_json:
            sys.stdout.write(json_text(taught_record(report.taught)) + "\n")
        elif report.taught is not None:
            console.print(taught_text(report.taught), markup=False, soft_wrap=True)
        if out is not None:
            more = f", {report.picture}" if report.picture is not None else ""
            console.print(f"→ {out}{more}", markup=False, soft_wrap=True)
        if suggest and not as_json:
            sys.stdout.write(question_rows((one.video, one.seconds, one.person) for one in report.questions))
