"""Scores of taught actions from the features of an archive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from memvit.store.errors import StoreError
from memvit.store.provenance import Provenance, identity_of
from memvit.teaching.head import Head


def check_heads(provenance: Provenance, heads: Sequence[Head], *, with_people: bool = False) -> None:
    """Raise HeadError if a head was taught with another model, StoreError if heads of people and of clips are mixed.

    `with_people`: whether scores of people are asked for together with them.
    """
    model = identity_of(provenance)
    for head in heads:
        head.check_model(model, head.name)
    kinds = {head.reads for head in heads} | ({"people"} if with_people else set())
    if len(kinds) > 1:
        raise StoreError(
            "scores of people and of whole clips cannot be asked for together; ask for one after the other"
        )


def head_scores(
    array: Callable[[str], zarr.Array[Any]], heads: Sequence[Head], start: int, stop: int
) -> NDArray[np.float32]:
    """Return (rows, heads) the scores of people, or of clips, from `start` to `stop`. All heads read the same."""
    features = np.asarray(array("features" if heads[0].reads == "clips" else "box_features")[start:stop])
    return np.stack([head.scores(features) for head in heads], axis=1)
