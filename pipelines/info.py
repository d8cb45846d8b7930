"""Describes an archive (content and progress) or a checkpoint (model and classes)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from memvit.types import MemvitError
from memvit.video.sources.location import is_url

from .clock import clock

MAX_LINES = 50
"""The largest number of videos that are listed for each state."""
MAX_VALUE_LETTERS = 60
"""Longer values of a checkpoint's metadata are shown by --json only."""
CHECKPOINTS = (".safetensors", ".pyth", ".pth", ".pt", ".bin")


def describe_path(path: str, *, verify: bool = False, search: Path | None = None) -> dict[str, Any]:
    """The description as plain values, for `info_text` and JSON. MemvitError if the path is neither of the two.

    Below the folder `search`, missing files of videos are looked for.
    """
    if not is_url(path) and Path(path).is_file():
        return _checkpoint(Path(path))
    return _archive(path, verify, search)


def info_text(content: dict[str, Any]) -> str:
    """The description as text for people."""
    return _checkpoint_text(content) if content["kind"] == "checkpoint" else _archive_text(content)


def _archive(path: str, verify: bool, search: Path | None) -> dict[str, Any]:
    from memvit.store import Archive
    from memvit.store.lock import writer_of
    from memvit.store.relocate import found_below, is_missing

    archive = Archive.open(path)
    videos = list(archive.videos())
    made_with, writer = archive.provenance, writer_of(path)
    checked = [state for state in videos if verify or state.state == "damaged"]
    damaged = {state.id: names for state in checked if (names := archive.damaged(state))}
    if names := archive.damaged_groups() if verify else []:
        damaged["archive"] = names
    missing = [state for state in videos if is_missing(state)]
    if search is not None and not search.is_dir():
        raise MemvitError(f"{search}: there is no such folder; name the one to search with --search")
    moved = {move.state.id: move.location for move in found_below(missing, search.absolute())} if search else {}
    known = {state.id for state in videos}
    return {
        "kind": "archive",
        "path": path,
        "model": made_with.model,
        "weights_sha256": made_with.weights_sha256,
        "precision": made_with.precision,
        "stored_as": made_with.stored_as,
        "sampling": made_with.sampling,
        "boxes": made_with.boxes,
        "persons_numbered": archive.has_persons and bool(made_with.boxes),
        "tracking": made_with.tracking,
        "classes": len(made_with.classes),
        "receptive_field": made_with.receptive_field,
        "written_by": writer,
        "videos": [
            {
                "id": state.id,
                "location": state.location,
                "state": "unfinished" if state.state == "running" and writer is None else state.state,
                "clips": state.clips,
                "people": state.people,
                "persons": state.persons,
                "seconds": state.duration_seconds,
                "note": state.note,
                "reason": state.reason,
            }
            for state in videos
        ],
        "missing": [state.id for state in missing if state.id not in moved],
        "moved": moved,
        "half_removed": [video for video in archive.video_ids() if video not in known and archive.half_removed(video)],
        "beside": archive.archives_beside(),
        "damaged": damaged,
        "verified": verify,
    }


def _archive_text(content: dict[str, Any]) -> str:
    videos = content["videos"]
    by_state = {
        state: [video for video in videos if video["state"] == state]
        for state in ("done", "running", "unfinished", "failed", "damaged")
    }
    done = by_state["done"]
    sampling = {"num_frames": "?", "frame_interval": "?", "hop_seconds": "?", **content["sampling"]}
    lines = [
        f"archive    {content['path']}",
        f"model      {content['model']} ({content['precision']}, stored as {content['stored_as']}), "
        f"{content['classes']} classes, memory reaches {_reach(content['receptive_field'])}",
        f"weights    {content['weights_sha256'][:16]}…",
        f"clips      {sampling['num_frames']} frames, every {sampling['frame_interval']}th at 30 fps, one clip every "
        f"{sampling['hop_seconds']} s" + (f", people from {content['boxes']}" if content["boxes"] else ""),
        f"done       {len(done)} videos, {clock(sum(video['seconds'] or 0 for video in done))}, "
        f"{sum(video['clips'] for video in done)} clips, {_people(content, done)}",
    ]
    lines += [f"  {video['id']}: {video['note']}" for video in done if video["note"]][:MAX_LINES]
    if content["written_by"]:
        lines.append(f"at work    {content['written_by']}")
    for state in ("running", "unfinished", "failed"):
        if by_state[state]:
            hint = "; nothing runs now, `memvit extract` goes on with them" if state == "unfinished" else ""
            lines.append(f"{state:10} {len(by_state[state])} videos{hint}")
        for video in by_state[state][:MAX_LINES]:
            lines.append(f"  {video['id']}: {_about(video)}")
    lines += _kept(content)
    for video_id, names in content["damaged"].items():
        lines.append(f"damaged    {video_id}: {', '.join(names)}; `memvit extract … --verify` repairs it")
    if content["verified"] and not content["damaged"]:
        lines.append("verified   everything is as it was written")
    return "\n".join(lines)


def _reach(clips: int | None) -> str:
    return "all clips before" if clips is None else f"{clips} clips"


def _kept(content: dict[str, Any]) -> list[str]:
    """Lines about files that are not where they were, removals that were killed, and archives of other models."""
    lines, locations = [], {video["id"]: video["location"] for video in content["videos"]}
    path = content["path"]
    if content["moved"]:
        lines.append(f"moved      {len(content['moved'])} videos; `memvit relocate {path} OLD NEW` notes it")
        lines += [f"  {video}: {locations[video]} → {new}" for video, new in content["moved"].items()][:MAX_LINES]
    if content["missing"]:
        hint = "their results stay valid; --search FOLDER looks for them"
        lines.append(f"missing    {len(content['missing'])} videos whose file is not there any more; {hint}")
        lines += [f"  {video}: {locations[video]}" for video in content["missing"][:MAX_LINES]]
    if content["half_removed"]:
        names = " ".join(content["half_removed"][:MAX_LINES])
        lines.append(
            f"removed    {len(content['half_removed'])} videos, but not their files; finish it with: "
            f"memvit remove {path} {names}"
        )
    if content["beside"]:
        lines.append("models     " + ", ".join(f"{path.rstrip('/')}/models/{name}" for name in content["beside"]))
    return lines


def _people(content: dict[str, Any], done: list[dict[str, Any]]) -> str:
    rows = f"{sum(video['people'] for video in done)} rows of people"
    if content["persons_numbered"]:
        rate = content["tracking"].get("track_rate")
        looked = f", looked for {rate:g} times a second" if rate else ""
        return f"{rows}, {sum(video['persons'] or 0 for video in done)} persons{looked}"
    return f"{rows} without numbers (from an earlier version)" if content["boxes"] else rows


def _about(video: dict[str, Any]) -> str:
    return video["reason"] if video["state"] == "failed" else f"{video['clips']} clips committed"


def _checkpoint(path: Path) -> dict[str, Any]:
    if path.suffix not in CHECKPOINTS:
        raise MemvitError(f"{path}: neither an archive nor a checkpoint ({', '.join(CHECKPOINTS)})")
    from memvit.models.weights.files import list_tensors
    from memvit.models.weights.safetensors import check_own

    description = check_own(path)
    tensors, layout = list_tensors(path)
    content: dict[str, Any] = {
        "kind": "checkpoint",
        "path": str(path),
        "layout": layout,
        "tensors": len(tensors),
        "parameters": sum(math.prod(tensor.shape) for tensor in tensors.values()),
    }
    if description is not None:
        content |= {
            "model": description.name,
            "classes": list(description.classes),
            "source": dict(description.source),
            "sha256": description.sha256,
        }
    return content


def _checkpoint_text(content: dict[str, Any]) -> str:
    lines = [
        f"checkpoint  {content['path']}",
        f"tensors     {content['tensors']}, {content['parameters']:,} values, layout: {content['layout']}",
    ]
    if "model" not in content:
        return "\n".join([*lines, "model       it does not describe itself: name its model with --model"])
    classes = content["classes"]
    shown = ", ".join(classes[:8]) + (", …" if len(classes) > 8 else "")
    source = content["source"]
    made = ", ".join(f"{key} {value}" for key, value in source.items() if _is_brief(value))
    more = [key for key, value in source.items() if not _is_brief(value)]
    made += f"; {', '.join(more)}: see --json" if more else ""
    return "\n".join(
        [*lines, f"model       {content['model']}", f"classes     {len(classes)}: {shown}", f"made by     {made}"]
    )


def _is_brief(value: Any) -> bool:
    """Whether a value fits into a line for people; a whole recipe does not."""
    return isinstance(value, str | int | float) and len(str(value)) <= MAX_VALUE_LETTERS
