"""`memvit extract`: writes the results of many videos into one Zarr store, on this machine or on a Ray cluster."""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from memvit.boxes import BoxSource, detection_size_of
from memvit.engine.engine import Engine
from memvit.engine.people import tracker_settings_for
from memvit.engine.settings import DEFAULT_BOXES, ModelSettings, choose_device, model_name
from memvit.json_text import json_text
from memvit.labels import Labels
from memvit.models import state_digest
from memvit.store import Archive, Provenance, VideoState, fingerprint, writer_lock
from memvit.tracking.appearance import SIZE
from memvit.types import MemvitError
from memvit.video.sources.location import is_url
from pipelines.stopping import stop_requested

from .extractor import STORED_AS
from .job import Job, JobSummary
from .local_pool import LocalPool
from .pool import Pool
from .resume import ResumePolicy
from .tasks import ExtractOptions

GPU_BATCH = 8
"""Default of --batch on a GPU."""
SEGMENT_SECONDS = 1800.0
"""Default of --segment where several clips are processed at once: the 36 warm-up clips of MeMViT-16 cost 2 %."""


@dataclass(frozen=True)
class Setup:
    """Where an extraction runs, and how."""

    settings: ModelSettings
    """The model that the driver loads; with Ray on the CPU, because the driver only needs its description."""
    options: ExtractOptions
    """How videos are read, cut into segments and committed."""
    make_pool: Callable[[Archive, Engine, BoxSource | None], Pool] | None
    """Makes the workers; None for one worker in this process."""


def extract(
    locations: Sequence[str],
    out: str,
    setup: Setup,
    policy: ResumePolicy,
    *,
    stored_as: str = "float32",
    wait: bool = False,
    on_wait: Callable[[str], None] = lambda owner: None,
    on_progress: Callable[[JobSummary, VideoState | None], None] = lambda summary, settled: None,
) -> JobSummary:
    """Bring an archive up to date with a list of videos.

    Run again after an interruption, it continues from the last commit. Ctrl-C or SIGTERM ends it after the present
    batch. Raises StoreError if another job writes to the archive, if it was made with other settings, or if it cannot
    be written.
    """
    if stored_as not in STORED_AS:
        raise MemvitError(f"--stored-as {stored_as}: use one of {', '.join(STORED_AS)}")
    out = out if is_url(out) else str(Path(out).absolute())
    options = setup.options
    with writer_lock(out, wait=wait, on_wait=on_wait) as held, stop_requested() as stopping:
        engine, names, boxes = setup.settings.build()
        if engine.reach_clips is None:  # each clip depends on all before it
            options = replace(options, segment_seconds=0.0)
        archive = Archive.create(
            out, provenance_of(engine, names, boxes, setup.settings, options, stored_as), repair=policy.verify
        )
        if options.track_rate and not archive.has_persons:
            raise MemvitError(
                f"{out}: people of this archive have no numbers; leave --track-rate out, or name another --out"
            )
        if setup.make_pool is not None:
            pool = setup.make_pool(archive, engine, boxes)
        else:
            pool = LocalPool(archive, engine, boxes, options)
        summary = Job(archive, locations, options, pool, policy, on_progress).run(stopping)
        held.check()
        return summary


def boxes_identity(settings: ModelSettings) -> str:
    """Describe what the boxes depend on, for the provenance of the archive."""
    spec = settings.boxes or DEFAULT_BOXES
    if spec.endswith(".csv"):
        file = fingerprint(spec)
        spec = f"{Path(spec).name} {file.digest if file else ''}"
    threshold = "" if settings.boxes_threshold is None else f" from {settings.boxes_threshold:g}"
    return spec + threshold


def tracking_of(boxes: BoxSource, options: ExtractOptions) -> dict[str, Any]:
    """Describe what the numbers of people depend on, besides their boxes."""
    found = {**asdict(tracker_settings_for(boxes)), "appearance_size": SIZE}
    return found | ({"track_rate": options.track_rate} if options.track_rate and detection_size_of(boxes) else {})


def provenance_of(
    engine: Engine,
    names: Labels,
    boxes: BoxSource | None,
    settings: ModelSettings,
    options: ExtractOptions,
    stored_as: str,
) -> Provenance:
    """Describe everything that the results of a run depend on."""
    return Provenance(
        model=model_name(settings.model, settings.checkpoint),
        weights_sha256=state_digest(engine.model.state_dict()),
        config=engine.model.config.plain(),
        sampling={
            **asdict(engine.preprocessing),
            "hop_seconds": options.hop_seconds,
            "frames_per_second": options.frames_per_second,
            "start_seconds": options.start_seconds,
        },
        boxes=boxes_identity(settings) if engine.wants_boxes else "",
        precision=engine.precision,
        stored_as=stored_as,
        remember=engine.plan is not None,
        receptive_field=engine.reach_clips,
        classes=names.names,
        first_id=names.first_id,
        tracking=tracking_of(boxes, options) if boxes is not None else {},
    )


def write_report(path: Path, summary: JobSummary) -> None:
    """Write the outcome for every video as JSON."""

    def brief(state: VideoState) -> dict[str, Any]:
        return {
            "id": state.id,
            "location": state.location,
            "clips": state.clips,
            "seconds": state.duration_seconds,
            "note": state.note,
            "reason": state.reason,
        }

    content = {
        "videos": summary.videos,
        "already_done": summary.already_done,
        "done": [brief(state) for state in summary.done.values()],
        "failed": [brief(state) for state in summary.failed.values()],
        "clips": summary.clips,
        "video_seconds": summary.video_seconds,
        "wall_seconds": summary.wall_seconds,
        "worker_seconds": asdict(summary.timings),
        "workers_lost": summary.lost,
        "interrupted": summary.interrupted,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    path.write_text(json_text(content, indent=1) + "\n", encoding="utf-8")


def set_up(
    settings: ModelSettings,
    workers: int,
    address: str | None,
    *,
    batch: int | None,
    segment_seconds: float | None,
    **more: Any,
) -> Setup:
    """Choose the defaults for the machine: batches on a GPU, segments where several clips are processed at once.

    Several workers start Ray, an address joins a cluster. Raises MemvitError if Ray is missing or does not start.
    """

    def options_for(is_gpu: bool, several: bool) -> ExtractOptions:
        size = batch or (GPU_BATCH if is_gpu else 1)
        length = segment_seconds
        if length is None:
            length = SEGMENT_SECONDS if several or size > 1 else 0.0
        return ExtractOptions(batch=size, segment_seconds=length, **more)

    if workers == 1 and address is None:
        return Setup(settings, options_for(choose_device(settings.device).type == "cuda", several=False), None)
    try:
        from pipelines.actors import ray_pool
        from pipelines.cluster import Cluster
    except ImportError as error:
        raise MemvitError("several workers need Ray: pip install 'memvit[ray]'") from error
    settings = Cluster.join(address).settled(settings)
    options = options_for(settings.device != "cpu", several=True)
    return Setup(replace(settings, device="cpu"), options, ray_pool(settings, options, workers))
