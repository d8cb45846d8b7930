"""Options that several commands share, each with one help text, and the options that were renamed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer
from typer.core import TyperCommand

from memvit.video.limits import VideoLimits, parse_limits
from pipelines.terminal import console

RENAMED_OPTIONS = {
    "--late": "--overflow",
    "--keep-memory": "--memory-timeout",
    "--pace": "--realtime",
    "--least": "--min-score",
}
"""Old name → new name. A command that has the new option accepts the old name as well, with a note."""


class PlainHelpCommand(TyperCommand):
    """A command whose help shows no type beside options that take no value."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options and arguments of the command."""
        params = list(super().get_params(ctx))
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return params


class CommandWithRenamedOptions(PlainHelpCommand):
    """A command that still accepts the old names of its options; pass it as `cls` to `app.command`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Replace old names by new ones, then parse; each old name is mentioned once, on standard error."""
        known = {name for param in self.params for name in param.opts}
        replaced: dict[str, str] = {}
        end = args.index("--") if "--" in args else len(args)
        for place, argument in enumerate(args[:end]):
            old, equals, value = argument.partition("=")
            new = RENAMED_OPTIONS.get(old)
            if new in known and old not in known:
                args[place] = f"{new}{equals}{value}"
                replaced[old] = new
        for old, new in replaced.items():
            console.print(f"note: {old} is now called {new}; the old name still works", markup=False, soft_wrap=True)
        return super().parse_args(ctx, args)


_MODEL, _PEOPLE, _DETECTOR, _TIME = "Model", "People", "Detector", "Time"
LIVE_PANEL = "Live streams"
"""The panel of `--help` with the options of live streams."""

ModelName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="A name from `memvit models`; by default memvit_16_16x4.ava_k400 (weights not for commercial use), "
        "or what the checkpoint says it is.",
        rich_help_panel=_MODEL,
    ),
]
Checkpoint: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Weights; the published ones are downloaded where none are given.", rich_help_panel=_MODEL),
]
RandomWeights: TypeAlias = Annotated[
    bool, typer.Option("--random-weights", help="Use an untrained model, to try things out.", rich_help_panel=_MODEL)
]
LabelFile: TypeAlias = Annotated[
    Path | None, typer.Option(help="Class names: one name per line, AVA's pbtxt, or JSON.", rich_help_panel=_MODEL)
]
NoMemory: TypeAlias = Annotated[
    bool, typer.Option("--no-memory", help="Answer from each clip alone, for comparison.", rich_help_panel=_MODEL)
]
Device: TypeAlias = Annotated[
    str, typer.Option(help="cpu, cuda, cuda:1 …; auto takes a GPU if there is one.", rich_help_panel=_MODEL)
]
Precision: TypeAlias = Annotated[
    str,
    typer.Option(
        help="float32, bfloat16, or int8 (on a CPU: twice as fast, and less exact); auto is bfloat16 on a GPU.",
        rich_help_panel=_MODEL,
    ),
]
Boxes: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Where the people are: `full` (the whole frame), an AVA-format CSV, or a detector, of torchvision or "
        "from `memvit models '*mask_rcnn*'`; by default fasterrcnn_mobilenet_v3_large_320_fpn.",
        rich_help_panel=_PEOPLE,
    ),
]
BoxesWeights: TypeAlias = Annotated[
    Path | None, typer.Option(help="Weights of the detector, a local file.", rich_help_panel=_DETECTOR)
]
BoxesThreshold: TypeAlias = Annotated[
    float | None, typer.Option(min=0, max=1, help="Leave out boxes with a lower score.", rich_help_panel=_DETECTOR)
]
RulesFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--rules",
        help="A YAML file of rules: who did what, from when to when, as events; see docs/events.md.",
        rich_help_panel="Events",
    ),
]
_RECORDING = "Recordings"
RecordFolder: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--record",
        metavar="FOLDER",
        help="Record a video and a picture of each event of the rules there, as the stream came, not encoded again.",
        rich_help_panel=_RECORDING,
    ),
]
RecordBefore: TypeAlias = Annotated[
    float | None, typer.Option(min=0, help="Seconds of video before an event; 5.", rich_help_panel=_RECORDING)
]
RecordAfter: TypeAlias = Annotated[
    float | None, typer.Option(min=0, help="Seconds of video after an event; 5.", rich_help_panel=_RECORDING)
]
RecordDays: TypeAlias = Annotated[
    float | None, typer.Option(min=0, help="Days after which recordings are deleted; 30.", rich_help_panel=_RECORDING)
]
RecordGigabytes: TypeAlias = Annotated[
    float | None,
    typer.Option(min=0, help="Room for recordings; the oldest are deleted to keep it; 10.", rich_help_panel=_RECORDING),
]
TrackRate: TypeAlias = Annotated[
    float,
    typer.Option(
        min=0,
        max=60,
        help="Times a second that it looks for people, to follow them from clip to clip; 0: once a clip.",
        rich_help_panel=_DETECTOR,
    ),
]
MinScore: TypeAlias = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Actions with a lower score are not shown in pictures, except a person's best one, faintly, where none "
        "reaches it.",
        rich_help_panel="Results",
    ),
]
Hop: TypeAlias = Annotated[float, typer.Option(min=0.01, help="Seconds from clip to clip.", rich_help_panel=_TIME)]
FramesPerSecond: TypeAlias = Annotated[
    float, typer.Option(min=0.1, help="Frame rate of a folder of frames.", rich_help_panel=_TIME)
]
Start: TypeAlias = Annotated[
    float, typer.Option(help="Second of a folder's first frame; 900 in AVA.", rich_help_panel=_TIME)
]


def _limits(text: str | VideoLimits) -> VideoLimits:
    try:
        return parse_limits(text) if isinstance(text, str) else text
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


Limits: TypeAlias = Annotated[
    VideoLimits,
    typer.Option(
        parser=_limits,
        metavar="NAME=NUMBER,…",
        help="Largest video that is read: longer side (side) and pixels of a frame, aspect ratio (aspect), declared "
        "seconds, tokens of a clip.",
        show_default=False,
        rich_help_panel="Video",
    ),
]

OverflowOption: TypeAlias = Annotated[
    str,
    typer.Option(
        help="What to do when clips come faster than the model answers: `drop` skips to the newest clip, `wait` "
        "makes the source wait; `auto` drops for live sources and waits for files.",
        rich_help_panel=LIVE_PANEL,
    ),
]
MaxAge: TypeAlias = Annotated[
    float,
    typer.Option(
        min=0, help="Seconds a clip may wait before the stream skips to its newest.", rich_help_panel=LIVE_PANEL
    ),
]
MemoryTimeout: TypeAlias = Annotated[
    float,
    typer.Option(
        min=0,
        help="Memory is kept over an interruption of at most this many seconds; after a longer one it starts empty.",
        rich_help_panel=LIVE_PANEL,
    ),
]

SERVER = "Server"
Host: TypeAlias = Annotated[str, typer.Option(help="Address to listen at.", rich_help_panel=SERVER)]
Port: TypeAlias = Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.", rich_help_panel=SERVER)]
Token: TypeAlias = Annotated[
    str | None,
    typer.Option(
        envvar="MEMVIT_TOKEN",
        help="Secret that clients must send; needed for any address but this machine's own. "
        "Better set by the variable.",
        rich_help_panel=SERVER,
    ),
]
HeadFiles: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--head",
        help="A taught action, from `memvit teach`; may be given several times.",
        rich_help_panel=_MODEL,
    ),
]
