"""`memvit extract`: videos → one Zarr store, here or on a cluster, as often interrupted as need be."""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from memvit.boxes import BoxSource
from memvit.engine.engine import Engine
from memvit.engine.settings import DEFAULT_BOXES, ModelSettings, choose_device, model_name
from memvit.json_text import json_text
from memvit.labels import Labels
from memvit.models import state_digest
from memvit.store import Archive, Provenance, VideoState, fingerprint, writer_lock
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
SEGMENT_SECONDS = 1800.0
"""Half an hour: warming MeMViT-16 up (36 clips) costs 2 %."""


@dataclass(frozen=True)
class Setup:
    """Where a job runs, and how."""

    settings: ModelSettings
    """Of the driver, which only needs to know what the workers' model is."""
    options: ExtractOptions
    make_pool: Callable[[Archive, Engine, BoxSource | None], Pool] | None
    """None for one worker in this process."""


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

    Run again after any interruption, it goes on where the last commit was. Ctrl-C or SIGTERM ends it after the clips at
    hand. StoreError if the archive is somebody else's, was made with other settings, or takes no more.
    """
    if stored_as not in STORED_AS:
        raise MemvitError(f"--stored-as {stored_as}: use one of {', '.join(STORED_AS)}")
    out = out if is_url(out) else str(Path(out).absolute())
    options = setup.options
    with writer_lock(out, wait=wait, on_wait=on_wait) as held, stop_requested() as stopping:
        engine, names, boxes = setup.settings.build()
        archive = Archive.create(
            out, provenance_of(engine, names, setup.settings, options, stored_as), mend=policy.verify
        )
        if setup.make_pool is not None:
            pool = setup.make_pool(archive, engine, boxes)
        else:
            pool = LocalPool(archive, engine, boxes, options)
        summary = Job(archive, locations, options, pool, policy, on_progress).run(stopping)
        held.check()
        return summary


def boxes_identity(settings: ModelSettings) -> str:
    """What the boxes depend on, for the archive's provenance."""
    spec = settings.boxes or DEFAULT_BOXES
    if spec.endswith(".csv"):
        mark = fingerprint(spec)
        spec = f"{Path(spec).name} {mark.digest if mark else ''}"
    threshold = "" if settings.boxes_threshold is None else f" from {settings.boxes_threshold:g}"
    return spec + threshold


def provenance_of(
    engine: Engine, names: Labels, settings: ModelSettings, options: ExtractOptions, stored_as: str
) -> Provenance:
    """What the results of such a run depend on."""
    config = asdict(engine.model.config)
    return Provenance(
        model=model_name(settings.model, settings.checkpoint),
        weights_sha256=state_digest(engine.model.state_dict()),
        config=config,
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
    )


def write_report(path: Path, summary: JobSummary) -> None:
    """What became of every video, for programs."""

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
    """Choose what the machine suggests: batches on a GPU, segments where several clips are at work at once.

    Several workers, or an address, start or join Ray. MemvitError if that cannot be had.
    """

    def options(is_gpu: bool, several: bool) -> ExtractOptions:
        size = batch or (GPU_BATCH if is_gpu else 1)
        length = segment_seconds
        if length is None:
            length = SEGMENT_SECONDS if several or size > 1 else 0.0
        return ExtractOptions(batch=size, segment_seconds=length, **more)

    if workers == 1 and address is None:
        return Setup(settings, options(choose_device(settings.device).type == "cuda", several=False), None)
    try:
        from pipelines.actors import ray_pool
        from pipelines.cluster import Cluster
    except ImportError as error:
        raise MemvitError("several workers need Ray: pip install 'memvit[ray]'") from error
    settings = Cluster.join(address).settled(settings)
    chosen = options(settings.device != "cpu", several=True)
    return Setup(replace(settings, device="cpu"), chosen, ray_pool(settings, chosen, workers))
