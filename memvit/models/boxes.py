"""The boxes of a batch as tensors: which clip, which group and which slot each belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class BoxBatch:
    """M boxes of B clips. Boxes attend to each other in G groups of `slots`; most clips have one group.

    Groups and slots are int64. They depend on the numbers of boxes alone.
    """

    rois: Tensor
    """(M, 5) float32: the index of the clip, then x1, y1, x2, y2 in input pixels."""
    group: Tensor
    """(M,): the group of each box."""
    slot: Tensor
    """(M,): the place of each box within its group."""
    clip_of_group: Tensor
    """(G,): the clip that a group belongs to."""
    first_group: Tensor
    """(B,): the group of each clip that later clips remember."""
    queries: int
    """The largest number of slots that are filled in any group."""

    @staticmethod
    def of(boxes: Sequence[Tensor], slots: int) -> BoxBatch:
        """B tensors (N_i, 4), xyxy in input pixels, in the order of the clips. Indices are made on the CPU."""
        counts = [len(box) for box in boxes]
        groups = [max(1, -(-count // slots)) for count in counts]
        first = [sum(groups[:clip]) for clip in range(len(groups))]
        places = [(clip, box) for clip, count in enumerate(counts) for box in range(count)]
        parts = (
            [first[clip] + box // slots for clip, box in places],
            [box % slots for _, box in places],
            [clip for clip, count in enumerate(groups) for _ in range(count)],
            first,
        )
        indices = torch.tensor([index for part in parts for index in part], dtype=torch.long)
        rois = [torch.cat((box.new_full((len(box), 1), clip), box), dim=1) for clip, box in enumerate(boxes)]
        filled = min(slots, max(counts, default=0))
        group, slot, clip_of_group, first_group = indices.split([len(part) for part in parts])
        return BoxBatch(torch.cat(rois).float(), group, slot, clip_of_group, first_group, filled)

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """All tensors, in the order of the fields."""
        return self.rois, self.group, self.slot, self.clip_of_group, self.first_group

    def padded(self, boxes: int) -> BoxBatch:
        """With empty boxes added at the end, `boxes` in total. They form one more group, which no clip remembers.

        Steps with numbers of boxes that are padded alike have tensors of the same shapes.
        """
        more, groups = boxes - len(self.rois), len(self.clip_of_group)
        return BoxBatch(
            torch.cat((self.rois, self.rois.new_zeros(more, 5))),
            torch.cat((self.group, self.group.new_full((more,), groups))),
            torch.cat((self.slot, self.slot.new_zeros(more))),
            torch.cat((self.clip_of_group, self.clip_of_group.new_zeros(1))),
            self.first_group,
            self.queries,
        )

    def with_queries(self, queries: int) -> BoxBatch:
        """With another number of query slots, which may be larger than the number of filled slots."""
        return replace(self, queries=queries)

    def to(self, device: torch.device) -> BoxBatch:
        """The same on a device. All indices are copied at once."""
        if self.rois.device == self.group.device == device:
            return self
        indices = torch.cat(self.tensors[1:]).to(device)
        group, slot, clip_of_group, first_group = indices.split([len(part) for part in self.tensors[1:]])
        return BoxBatch(self.rois.to(device), group, slot, clip_of_group, first_group, self.queries)
