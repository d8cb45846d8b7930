"""`memvit detect`: pictures, and the objects in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from pipelines.terminal import INTERRUPTED, console, one_sentence, step_bar

from .options import Checkpoint, Device, RandomWeights

DEFAULT_DETECTOR = "cascade_mask_rcnn_mvitv2_t.coco"


def detect_command(
    sources: Annotated[list[Path], typer.Argument(metavar="IMAGE|FOLDER…", help="Pictures, or folders of pictures.")],
    model: Annotated[
        str,
        typer.Option(help="A detector from `memvit models '*mask_rcnn*'`.", rich_help_panel="Model"),
    ] = DEFAULT_DETECTOR,
    checkpoint: Checkpoint = None,
    random_weights: RandomWeights = False,
    device: Device = "auto",
    precision: Annotated[
        str,
        typer.Option(help="float32 or bfloat16; auto is bfloat16 on a GPU.", rich_help_panel="Model"),
    ] = "auto",
    short_side: Annotated[
        int, typer.Option(min=0, help="Pictures are resized to this short side; 0: not at all.", rich_help_panel="Size")
    ] = 800,
    long_side: Annotated[
        int, typer.Option(min=1, help="The long side is at most this.", rich_help_panel="Size")
    ] = 1333,
    out: Annotated[Path, typer.Option(help="Folder for the results.", rich_help_panel="Results")] = Path("detect"),
    annotate: Annotated[
        bool, typer.Option("--annotate", help="Write each picture with its objects.", rich_help_panel="Results")
    ] = False,
    annotate_score: Annotated[
        float, typer.Option(min=0, max=1, help="Lowest score that is drawn.", rich_help_panel="Results")
    ] = 0.5,
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="Lowest score that is written.", rich_help_panel="Results")
    ] = 0.05,
    masks: Annotated[
        bool, typer.Option("--masks/--no-masks", help="Find masks, too.", rich_help_panel="Results")
    ] = True,
) -> None:
    """Find objects in pictures: COCO's results as JSON; on request, pictures with boxes and masks."""
    from memvit.engine.settings import choose_device, choose_precision
    from pipelines.detect.pictures import find_pictures
    from pipelines.detect.run import DetectOptions, detect
    from pipelines.outputs import check_folder

    with one_sentence(out):
        check_folder(out)
        pictures = find_pictures(sources)
        chosen = choose_device(device)
        kind = choose_precision(precision, chosen)
        from memvit.detection.create import open_detector

        detector = open_detector(
            model,
            checkpoint,
            random_weights=random_weights,
            device=chosen,
            precision=kind,
            min_score=min_score,
        )
        options = DetectOptions(out, short_side or None, long_side, masks, annotate, annotate_score)
        with step_bar(console) as bar:
            task = bar.add_task("pictures", total=len(pictures), numbers="")
            found = 0

            def advance(_: object, detections: object) -> None:
                nonlocal found
                found += len(detections) if detections is not None else 0  # type: ignore[arg-type]
                bar.update(task, advance=1, numbers=f"{found} objects")

            summary = detect(pictures, detector, options, advance)
    for failure in summary.failures:
        console.print(f"[bold red]error:[/] {escape(failure)}", soft_wrap=True)
    console.print(
        f"{summary.objects} objects in {summary.pictures} pictures: {summary.files[0]}", markup=False, soft_wrap=True
    )
    if summary.interrupted:
        raise typer.Exit(INTERRUPTED)
    if summary.failures:
        raise typer.Exit(1)
