"""Writing ONNX, with a translation of RoIAlign, which `torch.onnx` does not know."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import torch
import torchvision  # noqa: F401 - registers the operator
from torch import nn

OPSET = 18


def write_onnx(module: nn.Module, arguments: tuple[Any, ...], path: str | Path) -> None:
    """Trace a module with these arguments and write it. ImportError, with what to install, without onnxscript."""
    try:
        import onnxscript
    except ImportError as error:
        raise ImportError(f"writing ONNX needs onnx and onnxscript: pip install 'memvit[onnx]' ({error})") from error
    op: Any = onnxscript.opset18

    def roi_align(
        features: Any,
        rois: Any,
        spatial_scale: float,
        pooled_height: int,
        pooled_width: int,
        sampling_ratio: int = -1,
        aligned: bool = False,
    ) -> Any:
        """torchvision's boxes begin with the index of their image; ONNX takes indices and boxes apart."""
        images = op.Cast(op.Squeeze(op.Slice(rois, [0], [1], [1]), [1]), to=7)  # int64
        return op.RoiAlign(
            features,
            op.Slice(rois, [1], [5], [1]),
            images,
            coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
            output_height=pooled_height,
            output_width=pooled_width,
            sampling_ratio=max(sampling_ratio, 0),
            spatial_scale=spatial_scale,
        )

    known: dict[Any, Any] = {torch.ops.torchvision.roi_align.default: roi_align}
    with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):  # the export prints its progress
        program = torch.onnx.export(
            module, arguments, dynamo=True, opset_version=OPSET, custom_translation_table=known, verbose=False
        )
    assert program is not None
    program.save(str(path))
