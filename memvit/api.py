"""What a Python user starts with: `memvit.watch` for videos and streams, `memvit.load` for a model that runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from memvit.engine.settings import CHECKPOINT_SUFFIXES, ModelSettings, choose_device, choose_precision, open_model
from memvit.models import CheckpointError, read_metadata
from memvit.results.result import Result
from memvit.runtime import Runner, for_device
from memvit.streams.group import StreamFailed
from memvit.streams.policy import LivePolicy
from memvit.streams.watcher import ClipResult, StreamEvent, Watcher
from memvit.types import MemvitError
from memvit.video.clips.track_frames import DEFAULT_TRACK_RATE
from memvit.video.limits import DEFAULT_LIMITS, VideoLimits
from memvit.video.sources.location import is_camera, is_retried_at_first, is_url, unique_names
from memvit.video.sources.preflight import check_sources

log = logging.getLogger("memvit.watch")


def watch(
    sources: str | Path | Sequence[str | Path],
    model: str | None = None,
    *,
    checkpoint: str | Path | None = None,
    random_weights: bool = False,
    labels: str | Path | None = None,
    boxes: str | None = None,
    heads: Sequence[str | Path] = (),
    track_rate: float = DEFAULT_TRACK_RATE,
    hop_seconds: float = 1.0,
    device: str = "auto",
    precision: str = "auto",
    remember: bool = True,
    policy: LivePolicy | None = None,
    limits: VideoLimits = DEFAULT_LIMITS,
    on_event: Callable[[StreamEvent], None] | None = None,
) -> Iterator[Result]:
    """Watch a video or stream, or several at once, and yield the result of each clip as soon as there is one.

    Args:
        sources: files, URLs, cameras, folders of frames. Files end; live streams are connected again when they break.
        model: a name of `list_models()`; by default MeMViT-16 of AVA, or what the checkpoint says that it is.
        checkpoint: weights in any supported layout; the published ones are downloaded where none are given.
        random_weights: an untrained model, to try things out.
        labels: class names, a file.
        boxes: where the people are: "full", an AVA-format CSV, or a torchvision detector (the default).
        heads: files of taught actions, which results then have beside those of the model.
        track_rate: how many times a second a detector looks for people between clips, so that they keep their number.
        hop_seconds: seconds from clip to clip.
        device: "cpu", "cuda" …; "auto" takes a GPU if there is one.
        precision: "float32", "bfloat16", or, on a CPU, "int8"; "auto" is bfloat16 on a GPU.
        remember: False answers from each clip alone.
        policy: what happens to late clips, silence and broken connections.
        limits: larger videos are refused.
        on_event: is called with every event: opened, lost and ended streams, new sessions, and the results themselves.

    Yields:
        Results in the order of each stream; `result.actions()` names what was seen, `result.boxes` says where, and
        `result.boxes.persons` who it was.

    Raises:
        MemvitError: no source can be opened, the model, its weights or the boxes cannot be loaded, or the last source
            that was being watched has failed.
    """
    locations = [str(source) for source in ([sources] if isinstance(sources, str | Path) else sources)]
    settings = ModelSettings(
        model=model,
        checkpoint=Path(checkpoint) if checkpoint else None,
        random_weights=random_weights,
        labels=Path(labels) if labels else None,
        device=device,
        precision=precision,
        remember=remember,
        boxes=boxes,
        heads=tuple(Path(head) for head in heads),
    )
    check_sources(locations)
    settings.check_boxes(unique_names(locations))
    engine, names, people = settings.build()
    watcher = Watcher(engine, people, hop_seconds=hop_seconds, track_rate=track_rate, limits=limits)
    if any(is_url(location) or is_camera(location) for location in locations):
        watcher.warm_up()
    try:
        for stream_id, location in zip(unique_names(locations), locations, strict=True):
            watcher.add(stream_id, location, policy=policy, retry_initial=is_retried_at_first(location))
        for event in watcher.events():
            if on_event is not None:
                on_event(event)
            if isinstance(event, ClipResult):
                yield replace(event.result, labels=names)
            elif isinstance(event, StreamFailed):
                if not watcher.streams:
                    raise MemvitError(event.reason)
                log.warning("%s", event.reason)
    finally:
        watcher.close()


def load(
    path_or_name: str | Path, *, checkpoint: str | Path | None = None, device: str = "auto", precision: str = "auto"
) -> Runner:
    """A model with trained weights, ready to run, as fast as `memvit watch` runs it.

    Args:
        path_or_name: A checkpoint that describes itself, or a name of `list_models()`.
        checkpoint: Weights for a name, in any supported layout; the published ones are downloaded where none are given.
        device: "cpu", "cuda" …; "auto" takes a GPU if there is one.
        precision: "float32", "bfloat16", or, on a CPU, "int8"; "auto" is bfloat16 on a GPU.

    Raises:
        MemvitError: There is no such device or file, or the device does not support the precision.
        ValueError: No such model, or (CheckpointError) weights that do not fit.
    """
    chosen = choose_device(device)
    kind = choose_precision(precision, chosen)
    if not isinstance(path_or_name, Path) and Path(path_or_name).suffix not in CHECKPOINT_SUFFIXES:
        opened = open_model(path_or_name, Path(checkpoint) if checkpoint else None)
    else:
        path = Path(path_or_name)
        if checkpoint is not None:
            raise MemvitError(f"{path}: pass this file, or the name of a model and checkpoint={checkpoint}, not both")
        if not path.is_file():
            raise MemvitError(f"{path}: there is no such file; check the path")
        if read_metadata(path) is None:
            raise CheckpointError(f"{path}: this checkpoint does not describe itself; pass its model and checkpoint=…")
        opened = open_model(None, path)
    network, preprocessing, names = opened
    return for_device(network, chosen, kind, preprocessing=preprocessing, labels=names)
