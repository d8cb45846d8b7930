"""How each code base names the same parameters, as tables of substitutions, both ways.

The hub is the official layout of facebookresearch (MeMViT, SlowFast, mvit); our own names are those behind `backbone.`
and `head.`. A layout is recognised by keys that only it has. Image models are videos of one frame here; elsewhere
their kernels have no time axis.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from torch import Tensor

from memvit.models.config import MViTConfig

State = dict[str, Tensor]
Rules = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Layout:
    """The parameter names of one code base."""

    name: str
    recognised_by: tuple[str, ...]
    to_official: Rules = ()
    from_official: Rules = ()
    staged: bool = False
    """Blocks are counted within their stage (timm)."""
    writable: bool = True


TORCHVISION_RULES = (
    ("conv_proj.", "patch_embed.proj."),
    ("pos_encoding.class_token", "cls_token"),
    (".attn.project.0.", ".attn.proj."),
    (".project.", ".proj."),
    (".mlp.0.", ".mlp.fc1."),
    (".mlp.3.", ".mlp.fc2."),
    ("head.1.", "head.projection."),
)
OURS = Layout("memvit", ("backbone.patch_embed.proj.weight",))
MEMVIT = Layout("MeMViT", ("blocks.0.attn.q.weight", "patch_embed.proj.weight"))
SLOWFAST = Layout("SlowFast MViTv2", ("blocks.0.attn.qkv.weight", "patch_embed.proj.weight"))
TIMM = Layout(
    "timm",
    ("stages.0.blocks.0.attn.qkv.weight",),
    to_official=((r"\.shortcut_proj_(attn|mlp)\.", ".proj."), (r"^head\.fc\.", "head.projection.")),
    from_official=((r"^head\.projection\.", "head.fc."),),
    staged=True,
)
TORCHVISION = Layout(
    "torchvision",
    ("conv_proj.weight", "blocks.0.attn.qkv.weight"),
    to_official=(
        (r"\.pool_([qkv])\.pool\.", r".pool_\1."),
        (r"\.pool_([qkv])\.norm_act\.0\.", r".norm_\1."),
        *((re.escape(theirs), official) for theirs, official in TORCHVISION_RULES),
    ),
    from_official=(
        (r"\.pool_([qkv])\.", r".pool_\1.pool."),
        (r"\.norm_([qkv])\.", r".pool_\1.norm_act.0."),
        (r"^(blocks\.\d+)\.proj\.", r"\1.project."),
        *((re.escape(official), theirs) for theirs, official in TORCHVISION_RULES if theirs != ".project."),
    ),
)
OPENMMLAB = Layout(
    "OpenMMLab",
    ("backbone.patch_embed.projection.weight",),
    to_official=(
        (r"^backbone\.", ""),
        (r"^patch_embed\.projection\.", "patch_embed.proj."),
        (r"^norm3\.", "norm."),
        (r"^(?:cls_)?head\.fc(?:_cls)?\.", "head.projection."),
    ),
    writable=False,
)
LAYOUTS = (OURS, MEMVIT, SLOWFAST, TIMM, TORCHVISION, OPENMMLAB)


def recognise(names: Iterable[str]) -> Layout | None:
    """Which layout these parameter names are of; None if of none that is known."""
    known = set(names)
    return next((layout for layout in LAYOUTS if known.issuperset(layout.recognised_by)), None)


def to_ours(state: Mapping[str, Tensor], layout: Layout) -> State:
    """Parameters in a layout → in our names. Shapes are left alone but for torchvision's flat cls token."""
    if layout is OURS:
        return dict(state)
    if layout.staged:
        state = _unstaged(state)
    ours = {}
    for name, value in state.items():
        official = _renamed(name, layout.to_official)
        ours[_behind_parts(official)] = value.view(1, 1, -1) if official == "cls_token" else value
    return ours


def from_ours(state: Mapping[str, Tensor], layout: Layout, config: MViTConfig) -> State:
    """Our parameters → those of a layout; ValueError if it has no place for this model.

    Image models lose the time axis of their kernels.
    """
    if not layout.writable:
        raise ValueError(f"the {layout.name} layout can be read but not written")
    if layout in (TIMM, TORCHVISION) and config.pool_first:
        raise ValueError(f"the {layout.name} layout has no place for MeMViT, which projects q, k and v after pooling")
    if layout is TIMM and config.frames > 1:
        raise ValueError("the timm layout is for images only")
    if layout is TORCHVISION and config.frames == 1:
        raise ValueError("the torchvision layout is for videos only")
    if layout is OURS:
        return dict(state)
    converted = {}
    for name, value in state.items():
        official = _official(name)
        value = value.squeeze(2) if config.frames == 1 and value.ndim == 5 else value
        theirs = _renamed(official, layout.from_official)
        if layout.staged:
            theirs = _staged(theirs, config)
        converted[theirs] = value.flatten() if layout is TORCHVISION and official == "cls_token" else value
    return converted


def _renamed(name: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _behind_parts(official: str) -> str:
    if official.startswith("head."):
        return official
    return ("head." if official.startswith("box_blocks.") else "backbone.") + official


def _official(ours: str) -> str:
    name = ours.removeprefix("backbone.")
    return name.removeprefix("head.") if name.startswith("head.box_blocks.") else name


def _unstaged(state: Mapping[str, Tensor]) -> State:
    """`stages.S.blocks.B.` → `blocks.N.`, N counted through all stages."""
    last: dict[int, int] = {}
    for name in state:
        if found := _STAGED.match(name):
            last[int(found[1])] = max(int(found[2]), last.get(int(found[1]), 0))
    starts = [0, *accumulate(last[stage] + 1 for stage in sorted(last))]
    return {
        _STAGED.sub(lambda found: f"blocks.{starts[int(found[1])] + int(found[2])}.", name): value
        for name, value in state.items()
    }


def _staged(name: str, config: MViTConfig) -> str:
    found = re.match(r"blocks\.(\d+)\.", name)
    if not found:
        return name
    index = int(found[1])
    starts = (0, *config.stage_starts)
    stage = max(place for place, start in enumerate(starts) if start <= index)
    rest = name[found.end() :]
    shortcut = "shortcut_proj_attn." if config.dim_mul_in_attention else "shortcut_proj_mlp."
    rest = re.sub(r"^proj\.", shortcut, rest)
    return f"stages.{stage}.blocks.{index - starts[stage]}.{rest}"


_STAGED = re.compile(r"^stages\.(\d+)\.blocks\.(\d+)\.")
