"""What the results of an archive were made with, and the check that a run may add to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from memvit.store.errors import StoreError
from memvit.teaching.head import ModelIdentity

LAYOUT = 2
"""Version of the layout of an archive: since 2, people have numbers."""
WITHOUT_PERSONS = 1
"""Version whose people have no numbers. Its archives are read, and continued as they were begun."""


@dataclass(frozen=True)
class Provenance:
    """Everything that the results of an archive depend on; a run with other values needs another archive."""

    model: str
    """Name of the model in the zoo, or in its checkpoint."""
    weights_sha256: str
    """SHA-256 of the parameters."""
    config: dict[str, Any]
    """Configuration of the network."""
    sampling: dict[str, Any]
    """Number and interval of the frames of a clip, hop in seconds, size of the images."""
    boxes: str
    """The source of the boxes; empty if whole clips are classified."""
    precision: str
    """Type in which the model computes."""
    stored_as: str
    """Type in which features and scores are written: float32 or float16."""
    remember: bool
    """Whether the model uses its memory."""
    receptive_field: int | None
    """Number of earlier clips that a result can depend on; None for all of them."""
    classes: tuple[str, ...]
    """Names of the classes."""
    first_id: int
    """Id of the first class: AVA counts from 1, others from 0."""
    tracking: dict[str, Any] = field(default_factory=dict)
    """Settings of the tracker that numbers people; empty where nobody is numbered."""

    def plain(self) -> dict[str, Any]:
        """Return all fields as JSON values; tuples become lists. `tracking` is left out if it is empty."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        if not self.tracking:
            del found["tracking"]
        return found

    @cached_property
    def digest(self) -> str:
        """Digest of all fields."""
        return hashlib.blake2b(json.dumps(self.plain(), sort_keys=True).encode(), digest_size=16).hexdigest()


def provenance_from(content: Mapping[str, Any]) -> Provenance:
    """Return the provenance that `Provenance.plain` wrote; `content` may have further keys.

    Raises KeyError if a field is missing and TypeError if one has another type.
    """
    values = {known.name: content[known.name] for known in fields(Provenance) if known.name != "tracking"}
    values["tracking"] = content.get("tracking", {})
    kinds: dict[str, Any] = {
        "config": dict,
        "sampling": dict,
        "tracking": dict,
        "classes": list,
        "receptive_field": int | None,
        "first_id": int,
    }
    for name, value in values.items():
        if not isinstance(value, kinds.get(name, str | bool)):
            raise TypeError(f"{name} is {value!r}")
    return Provenance(**{**values, "classes": tuple(map(str, values["classes"]))})


def identity_of(provenance: Provenance) -> ModelIdentity:
    """Return the model whose features an archive holds, as the file of a head names it."""
    config, sampling = provenance.config, provenance.sampling
    return ModelIdentity.of(provenance.model, provenance.weights_sha256, config, sampling, remember=provenance.remember)


def layout_of(shown: str, content: Mapping[str, Any]) -> int:
    """Return the version of an archive's layout. Raises StoreError if this program does not know it."""
    layout = content.get("layout")
    if layout not in (WITHOUT_PERSONS, LAYOUT):
        raise StoreError(f"{shown}: it was made by a newer version of memvit; update memvit")
    return int(layout)


def as_continued(provenance: Provenance, layout: int) -> Provenance:
    """Return the provenance of further results of an archive with a layout: one without numbers stays without."""
    return replace(provenance, tracking={}) if layout == WITHOUT_PERSONS else provenance


def check_provenance(shown: str, content: Mapping[str, Any], provenance: Provenance) -> None:
    """Raise a StoreError that names the difference if an archive was made with another provenance."""
    difference = difference_of(content, provenance)
    if difference is not None:
        raise StoreError(f"{shown}: it was made with {difference}; name another --out for this run")


def difference_of(content: Mapping[str, Any], provenance: Provenance, keys: Sequence[str] | None = None) -> str | None:
    """Return the first difference between the provenance of an archive and another one as words; None without one.

    With `keys`, only these fields are compared.
    """
    for key, now in provenance.plain().items():
        before = content.get(key)
        if before != now and (keys is None or key in keys):
            return _difference(key, before, now, provenance.model)
    return None


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
    """Describe the first three values that differ, by name."""
    if not isinstance(before, dict):
        return ""
    names = [name for name in now if before.get(name) != now[name]]
    shown = [f"{name.replace('_', ' ')} {_brief(before.get(name))}, now {_brief(now[name])}" for name in names[:3]]
    return f" ({'; '.join(shown)})" if shown else ""


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 30 else f"{text[:29]}…"
