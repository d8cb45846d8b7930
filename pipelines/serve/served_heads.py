"""The taught actions of a running server: whether a changed configuration, or a changed file, asks for others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memvit.teaching import Head, load_head
from memvit.teaching.head import ModelIdentity
from memvit.types import MemvitError


@dataclass(frozen=True)
class ServedHeads:
    """What the engines have."""

    model: ModelIdentity
    paths: tuple[Path, ...] = ()
    heads: tuple[Head, ...] = ()
    """One for each of `paths`."""

    def check(self, paths: Sequence[Path]) -> None:
        """MemvitError if the heads in these files are not those that the engines have, or do not fit the model."""
        found = [load_head(path) for path in paths]
        for head, path in zip(found, paths, strict=True):
            head.check_model(self.model, path)
        if tuple(paths) != self.paths:
            raise MemvitError("heads change with a restart only")
        for head, before, path in zip(found, self.heads, paths, strict=True):
            if not _is_same(head, before):
                raise MemvitError(f"{path}: this head was taught anew; heads change with a restart only")


def _is_same(head: Head, other: Head) -> bool:
    about = [(one.name, one.reads, one.bias) for one in (head, other)]
    return about[0] == about[1] and np.array_equal(head.weight, other.weight)
