"""Adds taught actions to the results of an engine: each head is one more column of scores, and one more name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvit.labels import Labels
from memvit.teaching.head import Head, HeadError


def labels_with_heads(labels: Labels, heads: Sequence[Head], wheres: Sequence[str | Path]) -> Labels:
    """Return the names of the classes, then those of the heads. Raises HeadError if two are the same.

    `wheres` are the files of the heads.
    """
    names = list(labels.names)
    known = {name.casefold() for name in names}
    for head, where in zip(heads, wheres, strict=True):
        if head.name.casefold() in known:
            raise HeadError(f"{where}: there is an action {head.name!r} already; teach it under another --name")
        known.add(head.name.casefold())
        names.append(head.name)
    return Labels(tuple(names), labels.first_id)


def scores_with_heads(
    scores: NDArray[np.float32],
    features: NDArray[np.float32],
    box_features: NDArray[np.float32] | None,
    heads: Sequence[Head],
) -> NDArray[np.float32]:
    """(N, classes) scores of the people of a clip, or (1, classes) of a clip → the same with a column for each head.

    `features` (C,) are those of the clip, `box_features` (N, C') those of its people. A head that reads clips gives
    each person the score of the clip.
    """
    columns = [scores]
    for head in heads:
        if head.reads == "people" and box_features is not None:
            column = head.scores(box_features) if len(box_features) else np.zeros(0, np.float32)
        else:
            column = np.repeat(head.scores(features[None]), len(scores))
        columns.append(column[:, None])
    return np.concatenate(columns, axis=1) if heads else scores
