"""Names → models: `list_models` and `create_model`."""

from __future__ import annotations

import difflib
import fnmatch
import logging
import urllib.error
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from memvit.models.weights.files import CheckpointError, LoadReport, has_memory, load_checkpoint, read_checkpoint
from memvit.models.weights.safetensors import read_metadata

from .build import build
from .config import HeadConfig, MViTConfig
from .memvit import MeMViT
from .mvit import MViT
from .zoo import MODELS, ModelEntry, Weights

logger = logging.getLogger("memvit")


def list_models(pattern: str = "*") -> list[str]:
    """Names that `create_model` knows and that match a shell pattern, sorted."""
    return sorted(fnmatch.filter(MODELS, pattern))


def model_entry(name: str) -> ModelEntry:
    """The zoo's row of a name; ValueError with the nearest names if there is none."""
    if name in MODELS:
        return MODELS[name]
    if "mask_rcnn" in name:
        raise ValueError(f"{name} names a detector of objects, not a model of actions: it is for `memvit detect`")
    raise unknown_name("model", name, MODELS)


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """What to say where a name is none of those that are known; it suggests the nearest."""
    names = list(known)
    begun = [other for other in names if other.startswith(name)]
    near = (begun or difflib.get_close_matches(name, names, n=3, cutoff=0.4))[:3]
    hint = f"did you mean {' or '.join(near)}?" if near else "`memvit models` lists all."
    return ValueError(f"there is no {kind} {name!r}; {hint}")


def create_model(
    name: str,
    *,
    pretrained: bool = False,
    checkpoint: str | Path | None = None,
    num_classes: int | None = None,
) -> nn.Module:
    """Build a model of the zoo, in eval mode; what of it stayed new after loading weights is logged as a warning.

    Args:
        name: `architecture.tag`, see `list_models`.
        pretrained: Load the published weights, through torch.hub's cache.
        checkpoint: Load this file instead, in any supported layout.
        num_classes: Another number of classes than the tag's; a checkpoint's head then stays new where it differs. A
            file that describes itself as a model of this name needs none: it says how many classes it has.

    Raises:
        ValueError: No such model, both kinds of weights asked for, or (CheckpointError) weights that do not fit.
    """
    model, report = load_model(name, pretrained=pretrained, checkpoint=checkpoint, num_classes=num_classes)
    if report is not None:
        logger.log(logging.WARNING if report.new else logging.INFO, "%s: %s", checkpoint or name, report)
    return model


def load_model(
    name: str,
    *,
    pretrained: bool = False,
    checkpoint: str | Path | None = None,
    num_classes: int | None = None,
    change: Callable[[MViTConfig], MViTConfig] = lambda config: config,
) -> tuple[MeMViT | MViT, LoadReport | None]:
    """As `create_model`, with the report of what the weights did; None if there were none.

    `change` makes another config of the name's own: drop path, dropout, what memory reads.
    """
    entry = model_entry(name)
    if pretrained and checkpoint:
        raise ValueError("pretrained=True and checkpoint=… exclude each other")
    path = published_weights(name, entry.weights) if pretrained else checkpoint
    config = change(_config_of(name, entry, checkpoint, num_classes))
    if path is None:
        return build(config), None
    state, layout = read_checkpoint(path)
    if config.memory and config.head.kind == "classification" and not has_memory(state):
        # A Kinetics classifier trained without memory gets none: untrained memory would spoil what it knows.
        config = replace(config, memory=None)
    from_classifier = config.head.kind == "action" and not any(key.startswith("head.box_blocks.") for key in state)
    if num_classes is not None or from_classifier:
        model = build(config)
        return model, load_checkpoint(model, state, layout, path, new_head=True)
    with torch.device("meta"):  # every parameter comes from the file: none is made up first
        model = build(config)
    return model, load_checkpoint(model, state, layout, path)


def published_weights(name: str, weights: Weights | None) -> Path:
    """The published file of a model in torch.hub's cache, downloaded if it is not there yet."""
    if weights is None or weights.url is None:
        raise ValueError(f"no weights are published for {name}; pass checkpoint=…")
    cache = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[1]
    if not cache.exists():
        limit = ", not for commercial use" if "NC" in weights.licence else ""
        logger.warning("downloading %s (licence %s%s) to %s", weights.url, weights.licence, limit, cache)
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(weights.url, str(cache), progress=True)
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise CheckpointError(
                f"{name}: its weights could not be downloaded ({reason}); fetch {weights.url} by hand and put it at "
                f"{cache}, or pass its path as the checkpoint"
            ) from error
    elif "NC" in weights.licence:
        logger.warning("%s: weights under %s, not for commercial use", name, weights.licence)
    return cache


def _config_of(name: str, entry: ModelEntry, checkpoint: str | Path | None, num_classes: int | None) -> MViTConfig:
    """The zoo's config, with another number of classes where one is given; else what a file of this model says."""
    if num_classes is not None:
        return _with_classes(entry.config, num_classes)
    description = read_metadata(checkpoint) if checkpoint is not None else None
    return description.config if description is not None and description.name == name else entry.config


def _with_classes(config: MViTConfig, num_classes: int) -> MViTConfig:
    head: HeadConfig = replace(config.head, num_classes=num_classes)
    return replace(config, head=head)
