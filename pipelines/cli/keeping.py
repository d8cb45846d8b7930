"""`memvit remove`, `memvit relocate`, `memvit merge`, `memvit index`: keeping archives."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from pipelines.terminal import console, one_sentence

from .find import Store

DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
SHOWN = 20
"""So many lines of one kind are printed."""


def remove_command(
    store: Store,
    videos: Annotated[
        list[str], typer.Argument(metavar="VIDEO…", help="Ids, locations, file names, or patterns of them ('lobby*').")
    ],
    dry_run: DryRun = False,
) -> None:
    """Remove videos with all their results from an archive. The video files themselves are not touched."""
    from pipelines.find import counted
    from pipelines.keeping import remove

    with one_sentence(store):
        done = remove(store, videos, dry_run=dry_run)
    for video in done.videos[:SHOWN]:
        typer.echo(video)
    if len(done.videos) > SHOWN:
        typer.echo(f"and {len(done.videos) - SHOWN} more")
    verb = "would be removed" if dry_run else "removed"
    console.print(f"{counted(len(done.videos), 'video')} {verb}, {done.bytes / 1e6:.1f} MB", markup=False)


def relocate_command(
    store: Store,
    old: Annotated[str, typer.Argument(metavar="OLD", help="Where the videos were: a file or a folder.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Where they are now.")],
    dry_run: DryRun = False,
) -> None:
    """Note that video files have moved. They are recognised by their content, and not extracted again."""
    from pipelines.find import counted
    from pipelines.keeping import relocate

    with one_sentence(store):
        done = relocate(store, old, new, dry_run=dry_run)
    for move in done.moves[:SHOWN]:
        typer.echo(f"{move.state.id}: {move.state.location} → {move.location}")
    if len(done.moves) > SHOWN:
        typer.echo(f"and {len(done.moves) - SHOWN} more")
    for state in done.not_found[:SHOWN]:
        console.print(f"{state.id}: no file with its content is there", markup=False, soft_wrap=True)
    for taken in done.taken[:SHOWN]:
        console.print(f"{taken.state.id}: {taken.location} is another video already", markup=False, soft_wrap=True)
    verb = "would be moved" if dry_run else "moved"
    left = len(done.not_found) + len(done.taken)
    console.print(f"{counted(len(done.moves), 'video')} {verb}, {left} not found", markup=False)
    if left:
        raise typer.Exit(1)


def merge_command(
    stores: Annotated[list[str], typer.Argument(metavar="STORE…", help="Archives of the same model and settings.")],
    out: Annotated[str, typer.Option(help="The archive that gets all their videos; it may be one of them.")],
) -> None:
    """Copy the videos of several archives into one. Killed and run again, it goes on."""
    from pipelines.find import counted
    from pipelines.keeping import merge_archives

    with one_sentence(out):
        done = merge_archives(stores, out)
    for reason in done.left_out[:SHOWN]:
        console.print(f"left out: {reason}", markup=False, soft_wrap=True)
    present = f", {done.present} were there before" if done.present else ""
    console.print(f"{counted(done.copied, 'video')} copied{present} → {out}", markup=False, soft_wrap=True)


def index_command(
    store: Store,
    reads: Annotated[
        str | None, typer.Option(help="clips or people; by default clips, and people if there are any.")
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the index anew.")] = False,
) -> None:
    """Make or update the index with which `memvit similar` answers without reading all features."""
    from pipelines.keeping import index

    if reads not in (None, "clips", "people"):
        raise typer.BadParameter(f"--reads {reads}: use clips or people")
    with one_sentence(store):
        for kind, done in index(store, reads, rebuild=rebuild):
            what = "made anew" if done.rebuilt else f"{done.added} videos added, {done.gone} gone"
            console.print(f"{kind}: {what}; {done.rows:,} rows, {done.bytes / 1e6:.1f} MB", markup=False)
