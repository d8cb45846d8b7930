"""What the results of an archive were made with, and whether a run may add to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from memvit.store.errors import StoreError

LAYOUT = 1


@dataclass(frozen=True)
class Provenance:
    """What every result of an archive was made with; a run with anything else needs another archive."""

    model: str
    """Its name in the zoo, or what the checkpoint says."""
    weights_sha256: str
    config: dict[str, Any]
    sampling: dict[str, Any]
    """Frames of a clip, their interval, the hop in seconds, the image size."""
    boxes: str
    """Where the people come from; empty where whole clips are classified."""
    precision: str
    """That the model computes in."""
    stored_as: str
    """float32 or float16: features and scores on disk."""
    remember: bool
    receptive_field: int
    """Clips: how far back a result can depend on the past."""
    classes: tuple[str, ...]
    first_id: int

    def plain(self) -> dict[str, Any]:
        """As JSON gives it back."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found

    @cached_property
    def digest(self) -> str:
        """Of all of it."""
        return hashlib.blake2b(json.dumps(self.plain(), sort_keys=True).encode(), digest_size=16).hexdigest()


def provenance_from(content: Mapping[str, Any]) -> Provenance:
    """The inverse of `Provenance.plain`, among other keys. KeyError or TypeError if the content is something else."""
    values = {field.name: content[field.name] for field in fields(Provenance)}
    kinds: dict[str, type] = {
        "config": dict,
        "sampling": dict,
        "classes": list,
        "receptive_field": int,
        "first_id": int,
    }
    for name, value in values.items():
        if not isinstance(value, kinds.get(name, str | bool)):
            raise TypeError(f"{name} is {value!r}")
    return Provenance(**{**values, "classes": tuple(map(str, values["classes"]))})


def check_provenance(shown: str, content: Mapping[str, Any], provenance: Provenance) -> None:
    """StoreError, in words that a person knows, if an archive was made with anything else."""
    if content.get("layout") != LAYOUT:
        raise StoreError(f"{shown}: it was made by a newer version of memvit; update memvit")
    wanted = provenance.plain()
    for key, now in wanted.items():
        before = content.get(key)
        if before != now:
            difference = _difference(key, before, now, provenance.model)
            raise StoreError(f"{shown}: it was made with {difference}; name another --out for this run")


def _difference(key: str, before: Any, now: Any, model: str) -> str:
    if key == "model":
        return f"the model {before}, and this run uses {now}"
    if key == "weights_sha256":
        return f"other weights of the model {model}"
    if key == "config":
        return f"another configuration of the model {model}{_changed_values(before, now)}"
    if key == "remember":
        return f"the model {model} {_memory(before)}, and this run is {_memory(now)}"
    if key == "classes":
        return "other names of the classes"
    name = key.replace("_", " ")
    return (
        f"another {name}{_changed_values(before, now)}"
        if isinstance(now, dict)
        else f"another {name} ({before}, now {now})"
    )


def _memory(remember: Any) -> str:
    return "with memory" if remember else "without memory"


def _changed_values(before: Any, now: dict[str, Any]) -> str:
    """The first values that differ, by name."""
    if not isinstance(before, dict):
        return ""
    names = [name for name in now if before.get(name) != now[name]]
    shown = [f"{name.replace('_', ' ')} {_brief(before.get(name))}, now {_brief(now[name])}" for name in names[:3]]
    return f" ({'; '.join(shown)})" if shown else ""


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 30 else f"{text[:29]}…"
