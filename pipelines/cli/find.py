"""`memvit find`, `memvit similar`, `memvit list`: what happened in the videos of an archive, and which there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from pipelines.terminal import console, one_sentence, until_reader_leaves

from .option_groups import ModelOptions, with_option_groups
from .options import HeadFiles

if TYPE_CHECKING:
    from memvit.store import VideoState

Store: TypeAlias = Annotated[
    str, typer.Argument(metavar="STORE", help="An archive made by `memvit extract`: a path or a URL.")
]
Video: TypeAlias = Annotated[
    str | None, typer.Option("--video", metavar="GLOB", help="Only videos whose id, location or file name fits.")
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON Lines.")]
AsCsv: TypeAlias = Annotated[bool, typer.Option("--csv", help="Print CSV.")]


def find_command(
    store: Store,
    action: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="An action, by name or id; of several, the largest score counts."),
    ] = None,
    head: HeadFiles = None,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Clips count with at least this score.")] = 0.5,
    min_seconds: Annotated[float, typer.Option(min=0, help="Leave out shorter intervals.")] = 0.0,
    merge_seconds: Annotated[
        float, typer.Option(min=0, help="Intervals that are at most this long apart are one.")
    ] = 0.0,
    person: Annotated[int | None, typer.Option(min=0, help="Only the person with this number.")] = None,
    video: Video = None,
    rules: Annotated[
        Path | None, typer.Option(help="Find the events of a YAML file of rules instead; see docs/events.md.")
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Find when somebody does something: intervals of consecutive clips, by video and person."""
    from memvit.store import Archive, Query
    from memvit.store.find import find
    from memvit.teaching import load_head
    from pipelines.find import Printer, counted, damaged_sentence, interval_text

    _check_form(as_json, as_csv)
    if rules is not None:
        if action or person is not None:
            raise typer.BadParameter("--rules names the actions and people itself; leave --action and --person out")
        _find_events(store, rules, head or [], video, as_json, as_csv)
        return
    if not action and not head:
        raise typer.BadParameter("name an action with --action, a taught one with --head, or rules with --rules")
    damaged: list[VideoState] = []
    with one_sentence(store), until_reader_leaves():
        printer = Printer(interval_text, as_json=as_json, as_csv=as_csv)
        heads = tuple(load_head(path) for path in head or ())
        query = Query(tuple(action or ()), min_score, min_seconds, merge_seconds, person, video, heads)
        for interval in find(Archive.open(store), query, damaged.append):
            printer.print(interval, interval.to_record())
    for state in damaged:
        console.print(damaged_sentence(state), markup=False, soft_wrap=True)
    console.print(counted(printer.count, "interval"), markup=False)
    if damaged:
        raise typer.Exit(1)


def _find_events(store: str, rules: Path, head: list[Path], video: str | None, as_json: bool, as_csv: bool) -> None:
    from memvit.events.rules_file import load_rules
    from memvit.store import Archive
    from memvit.teaching import load_head
    from pipelines.events import event_sentence
    from pipelines.find import Printer, counted
    from pipelines.find_events import events_of_archive

    with one_sentence(store), until_reader_leaves():
        printer = Printer(event_sentence, as_json=as_json, as_csv=as_csv)
        heads = [load_head(path) for path in head]
        for event in events_of_archive(Archive.open(store), load_rules(rules), video, heads):
            if event.state == "end":
                printer.print(event, event.to_record())
    console.print(counted(printer.count, "event"), markup=False)


def _check_form(as_json: bool, as_csv: bool) -> None:
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other; name one")


@with_option_groups
def similar_command(
    store: Store,
    what: Annotated[
        str,
        typer.Argument(
            metavar="VIDEO@SECONDS", help="A moment of a video of the archive, or of a file: film.mp4@12.5."
        ),
    ],
    *,
    model_options: ModelOptions,
    top: Annotated[int, typer.Option(min=1, help="How many answers.")] = 10,
    people: Annotated[bool, typer.Option("--people", help="Compare people, not whole clips.")] = False,
    person: Annotated[
        int | None, typer.Option(min=0, help="The number of the person, where several are there.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--every", help="Count neighbouring seconds of a video as answers of their own.")
    ] = False,
    video: Video = None,
    exact: Annotated[bool, typer.Option("--exact", help="Read all features, even if there is an index.")] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Find what looks like a moment: the clips, or the people, that the model describes most alike.

    A file that is not in the archive is read with the archive's model, which the options name.
    """
    from memvit.store import Archive
    from memvit.store.indexed import chooser
    from memvit.store.similar import similar
    from pipelines.find import Printer, damaged_sentence
    from pipelines.similar import find_example, moment_text

    _check_form(as_json, as_csv)
    if person is not None and not people:
        raise typer.BadParameter("--person goes with --people")
    damaged: list[VideoState] = []
    with one_sentence(store), until_reader_leaves():
        archive = Archive.open(store)
        example = find_example(archive, what, model_options.settings, people=people, person=person)
        printer = Printer(moment_text, as_json=as_json, as_csv=as_csv)
        choose = None
        if not exact and video is None:
            choose = chooser(archive, "people" if people else "clips", top, _note)
        more = {"every": every, "video": video, "on_damaged": damaged.append, "choose": choose}
        for moment in similar(archive, example, people=people, top=top, **more):  # type: ignore[arg-type]
            printer.print(moment, moment.to_record(people=people))
    for state in damaged:
        console.print(damaged_sentence(state), markup=False, soft_wrap=True)
    if damaged:
        raise typer.Exit(1)


def _note(sentence: str) -> None:
    console.print(f"note: {sentence}", markup=False, soft_wrap=True)


def list_command(
    store: Store,
    state: Annotated[
        str | None, typer.Option(help="Only those that are done, running, unfinished, failed or damaged.")
    ] = None,
    video: Video = None,
    min_seconds: Annotated[float | None, typer.Option(min=0, help="Only videos of at least this length.")] = None,
    max_seconds: Annotated[float | None, typer.Option(min=0, help="Only videos of at most this length.")] = None,
    min_persons: Annotated[int, typer.Option(min=0, help="Only videos with so many different people.")] = 0,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the videos of an archive: state, length, clips and people."""
    from pipelines.find import STATES, Printer, VideoFilter, counted, video_rows, video_text

    _check_form(as_json, as_csv)
    if state not in (None, *STATES):
        raise typer.BadParameter(f"--state {state}: use one of {', '.join(STATES)}")
    with one_sentence(store), until_reader_leaves():
        printer = Printer(video_text, as_json=as_json, as_csv=as_csv)
        chosen = VideoFilter(state, video, min_seconds, max_seconds, min_persons)
        for row in video_rows(store, chosen):
            printer.print(row, row)
    console.print(counted(printer.count, "video"), markup=False)
