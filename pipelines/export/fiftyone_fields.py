"""The description of a data set for FiftyOne (`metadata.json`): its fields and their types.

FiftyOne brings an older description up to date when it loads it, and refuses a newer one. So the version is the oldest
whose fields are those that are written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

VERSION = "1.4.0"
Field: TypeAlias = dict[str, Any]


def description(name: str, info: dict[str, Any], created_at: dict[str, Any]) -> dict[str, Any]:
    """Return the content of `metadata.json` of a data set of videos, with people in frames and actions over time."""
    return {
        "name": name,
        "version": VERSION,
        "created_at": created_at,
        "last_modified_at": created_at,
        "persistent": False,
        "media_type": "video",
        "group_media_types": {},
        "tags": [],
        "info": info,
        "app_config": {
            "grid_media_field": "filepath",
            "media_fallback": False,
            "media_fields": ["filepath"],
            "modal_media_field": "filepath",
            "plugins": {},
        },
        "classes": {},
        "default_classes": [],
        "mask_targets": {},
        "default_mask_targets": {},
        "skeletons": {},
        "sample_fields": _dated([*_system_fields(), *_sample_fields()], created_at),
        "frame_fields": _dated([*_frame_system_fields(), _people_field()], created_at),
        "saved_views": [],
        "workspaces": [],
        "annotation_runs": {},
        "brain_methods": {},
        "evaluations": {},
        "runs": {},
    }


def _system_fields() -> list[Field]:
    return [
        _plain("id", "ObjectId", stored_as="_id"),
        _plain("filepath", "String"),
        _list("tags", "String"),
        _embedded("metadata", "fiftyone.core.metadata.VideoMetadata", _metadata_fields()),
        _plain("created_at", "DateTime", is_read_only=True),
        _plain("last_modified_at", "DateTime", is_read_only=True),
        _plain("_media_type", "String"),
        _plain("_rand", "Float"),
        _plain("_dataset_id", "ObjectId"),
    ]


def _metadata_fields() -> list[Field]:
    return [
        _plain("size_bytes", "Int"),
        _plain("mime_type", "String"),
        _plain("frame_width", "Int"),
        _plain("frame_height", "Int"),
        _plain("frame_rate", "Float"),
        _plain("total_frame_count", "Int"),
        _plain("duration", "Float"),
        _plain("encoding_str", "String"),
    ]


def _sample_fields() -> list[Field]:
    of_one = [
        *_label_fields(),
        _list("support", "Int", kind="FrameSupport"),
        _plain("mean_score", "Float"),
        _plain("person", "Int"),
    ]
    return [_plain("memvit_id", "String"), _labels("actions", "TemporalDetection", of_one)]


def _frame_system_fields() -> list[Field]:
    return [
        _plain("id", "ObjectId", stored_as="_id"),
        _plain("frame_number", "FrameNumber"),
        _plain("created_at", "DateTime", is_read_only=True),
        _plain("last_modified_at", "DateTime", is_read_only=True),
        _plain("_sample_id", "ObjectId"),
        _plain("_dataset_id", "ObjectId"),
    ]


def _people_field() -> Field:
    of_one = [
        *_label_fields(),
        _list("bounding_box", "Float"),
        _plain("index", "Int"),
        _plain("box_score", "Float"),
        _list("actions", "String"),
        _list("scores", "Float"),
    ]
    return _labels("people", "Detection", of_one)


def _label_fields() -> list[Field]:
    return [
        _plain("id", "ObjectId", stored_as="_id"),
        _list("tags", "String"),
        _plain("label", "String"),
        _plain("confidence", "Float"),
    ]


def _plain(name: str, kind: str, *, stored_as: str | None = None, is_read_only: bool = False) -> Field:
    return {
        "name": name,
        "ftype": f"fiftyone.core.fields.{kind}Field",
        "embedded_doc_type": None,
        "subfield": None,
        "fields": [],
        "db_field": stored_as or name,
        "description": None,
        "info": None,
        "read_only": is_read_only,
    }


def _list(name: str, of: str, *, kind: str = "List") -> Field:
    return _plain(name, kind) | {"subfield": f"fiftyone.core.fields.{of}Field"}


def _embedded(name: str, of: str, inner: Sequence[Field]) -> Field:
    return _plain(name, "EmbeddedDocument") | {"embedded_doc_type": of, "fields": list(inner)}


def _labels(name: str, of: str, inner: Sequence[Field]) -> Field:
    """A field with a list of labels: of `Detections` a list of `Detection`."""
    each = _list("detections", "EmbeddedDocument") | {
        "embedded_doc_type": f"fiftyone.core.labels.{of}",
        "fields": list(inner),
    }
    return _embedded(name, f"fiftyone.core.labels.{of}s", [each])


def _dated(found: Sequence[Field], created_at: dict[str, Any]) -> list[Field]:
    return [
        field | {"created_at": created_at, "fields": _dated(field["fields"], created_at)}
        if field["fields"]
        else field | {"created_at": created_at}
        for field in found
    ]
