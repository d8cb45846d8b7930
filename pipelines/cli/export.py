"""`memvit export`: an archive for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.terminal import console, one_sentence

MIN_TABLE_SCORE = 0.05
MIN_INTERVAL_SCORE = 0.5


def export_command(
    archive: Annotated[str, typer.Argument(metavar="ARCHIVE", help="An archive made by `memvit extract`.")],
    out: Annotated[Path, typer.Option(help="The file to write; a folder for fiftyone and with --by-video.")],
    to: Annotated[
        str | None,
        typer.Option(help="parquet, csv, jsonl or fiftyone; by default the ending of the file's name."),
    ] = None,
    table: Annotated[
        str,
        typer.Option(
            help="actions: one row for each person (or clip) and action; features: one row for each clip; people: one "
            "row for each person and clip, with features; tracks: one row for each person. With --by-video: clips or "
            "people, with all scores."
        ),
    ] = "actions",
    min_score: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Leave out actions with a lower score; by default 0.05, and 0.5 for fiftyone.",
        ),
    ] = None,
    by_video: Annotated[
        bool,
        typer.Option(
            "--by-video",
            help="Write a folder with a Parquet file for each video, which reads as one table; run again, it is "
            "brought up to date.",
        ),
    ] = False,
    features: Annotated[
        bool, typer.Option("--features/--no-features", help="With --by-video: with or without the features.")
    ] = True,
    media: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="fiftyone: write paths of videos relative to this folder, not absolute."),
    ] = None,
) -> None:
    """Write the actions, the features or the people of an archive as a table, or all as a data set for FiftyOne."""
    if by_video and to not in (None, "parquet"):
        raise typer.BadParameter("--by-video writes Parquet; leave --to out")
    if not by_video and not features:
        raise typer.BadParameter("--no-features goes with --by-video")
    if to == "fiftyone":
        _export_fiftyone(archive, out, MIN_INTERVAL_SCORE if min_score is None else min_score, media)
        return
    if media is not None:
        raise typer.BadParameter("--media goes with --to fiftyone")
    if by_video:
        _export_by_video(archive, out, table, features)
        return
    from pipelines.export.tables import export
    from pipelines.outputs import check_file

    with one_sentence(out):
        check_file(out)
        least = MIN_TABLE_SCORE if min_score is None else min_score
        rows, videos = export(archive, out, to or out.suffix.removeprefix("."), table, least)
        console.print(f"{rows} rows of {videos} videos → {out}", markup=False, soft_wrap=True)


def _export_by_video(archive: str, out: Path, table: str, features: bool) -> None:
    from pipelines.export.by_video import export_by_video
    from pipelines.outputs import check_folder

    with one_sentence(out):
        check_folder(out)
        done = export_by_video(archive, out, table, features=features)
    console.print(
        f"{done.rows} rows of {done.written} videos, {done.kept} videos as they were, {done.removed} removed → {out}",
        markup=False,
        soft_wrap=True,
    )


def _export_fiftyone(archive: str, out: Path, min_score: float, media: Path | None) -> None:
    from pipelines.export.fiftyone import export_fiftyone
    from pipelines.outputs import check_folder

    with one_sentence(out):
        check_folder(out)
        done = export_fiftyone(archive, out, min_score, media)
    for reason in done.left_out:
        console.print(f"left out: {reason}", markup=False, soft_wrap=True)
    console.print(
        f"{done.videos} videos, {done.frames} frames with people, {done.intervals} intervals of actions → {out}",
        markup=False,
        soft_wrap=True,
    )
    if done.left_out:
        raise typer.Exit(1)
