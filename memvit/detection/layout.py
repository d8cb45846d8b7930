"""The parameter names of detectron2, and ours: one table, both ways."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from .config import DetectorConfig

State = dict[str, Tensor]

BACKBONE = "backbone.bottom_up."
RULES = (
    # ours, theirs; `#` is a number, which the second column may shift or leave as it is
    ("backbone.stage_norms.#.", f"{BACKBONE}scale#+2_norm."),
    ("backbone.", BACKBONE),
    ("fpn.lateral.#.", "backbone.fpn_lateral#+2."),
    ("fpn.output.#.", "backbone.fpn_output#+2."),
    ("rpn.objectness.", "proposal_generator.rpn_head.objectness_logits."),
    ("rpn.deltas.", "proposal_generator.rpn_head.anchor_deltas."),
    ("mask_head.convs.#.", "roi_heads.mask_head.mask_fcn#+1."),
    ("mask_head.upsample.", "roi_heads.mask_head.deconv."),
    ("mask_head.predictor.", "roi_heads.mask_head.predictor."),
)
CASCADE_RULES = (
    ("rpn.convs.#.", "proposal_generator.rpn_head.conv.conv#."),
    ("box_heads.#.convs.#.", "roi_heads.box_head.#.conv#+1."),
    ("box_heads.#.linears.#.", "roi_heads.box_head.#.fc#+1."),
    ("box_heads.#.classes.", "roi_heads.box_predictor.#.cls_score."),
    ("box_heads.#.deltas.", "roi_heads.box_predictor.#.bbox_pred."),
)
SINGLE_RULES = (
    ("rpn.convs.0.", "proposal_generator.rpn_head.conv."),
    ("box_heads.0.linears.#.", "roi_heads.box_head.fc#+1."),
    ("box_heads.0.classes.", "roi_heads.box_predictor.cls_score."),
    ("box_heads.0.deltas.", "roi_heads.box_predictor.bbox_pred."),
)


def their_name(name: str, config: DetectorConfig) -> str:
    """What detectron2 calls a parameter of ours. ValueError if there is none of that name."""
    for ours, theirs in (*RULES, *(CASCADE_RULES if config.cascade else SINGLE_RULES)):
        found = re.match(re.escape(ours).replace(r"\#", r"(\d+)"), name)
        if found:
            return _with_numbers(theirs, found.groups()) + name[found.end() :]
    raise ValueError(f"detectron2 has no parameter {name}")


def _with_numbers(name: str, numbers: tuple[str, ...]) -> str:
    """`fc#+1.` and the number 2 → `fc3.`"""
    for number in numbers:
        name = re.sub(r"#(?:\+(\d))?", lambda place, n=number: str(int(n) + int(place[1] or 0)), name, count=1)  # type: ignore[misc]
    return name


def to_detectron2(state: Mapping[str, Tensor], config: DetectorConfig) -> State:
    """Our parameters under detectron2's names, in its shapes: kernels without a time axis."""
    return {
        their_name(name, config): value.squeeze(2) if _has_time_axis(name, value) else value
        for name, value in state.items()
    }


def from_detectron2(state: Mapping[str, Tensor], like: Mapping[str, Tensor], config: DetectorConfig) -> State:
    """detectron2's parameters under our names and in the shapes of `like`; those that are unknown keep their names."""
    ours = {their_name(name, config): name for name in like}
    renamed = {}
    for name, value in state.items():
        known = ours.get(name, name)
        if known in like and _has_time_axis(known, like[known]) and value.ndim == like[known].ndim - 1:
            value = value.unsqueeze(2)
        renamed[known] = value
    return renamed


def _has_time_axis(name: str, value: Tensor) -> bool:
    return name.startswith("backbone.") and value.ndim == 5
