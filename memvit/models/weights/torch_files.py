"""PyTorch files (.pth, .pyth, .pt), read without running anything of them, in memory of about their own size.

`torch.load(weights_only=True)` runs no code of a file, but it unpacks whatever a zip archive claims to hold, and it
calls a few functions with any arguments (`bytearray(8_000_000_000)`). So the sizes that the archive declares, and what
its pickle calls, are checked first.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from pathlib import Path

import torch

from .errors import CheckpointError
from .header import check_size, unreadable
from .limits import MAX_PICKLE_BYTES, MAX_UNPACKED_RATIO, MAX_ZIP_ENTRIES

DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
STORAGES = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
NEEDED_GLOBALS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch.nn.parameter Parameter",
    "torch Size",
    "__builtin__ set",
    "builtins set",
    *(f"torch {name}Storage" for name in STORAGES),
    *(f"torch {name}" for name in DTYPES),
}
"""What files of tensors and plain values name; everything else is refused."""
CALLING_OPERATIONS = {"INST", "OBJ", "STACK_GLOBAL", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"}
"""Further ways of a pickle to make objects, which PyTorch does not write."""
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""The first pickle of a file of PyTorch before 1.6."""
LEGACY_PICKLES = 4
"""Those that follow it: version, system, content, names of the storages."""


def load_torch_file(path: Path) -> object:
    """What a PyTorch file holds, on the CPU. CheckpointError, in one sentence, if it is damaged, of another kind, holds
    more than tensors and plain values, or would take more memory than a file of its size can need.
    """
    check_size(path)
    try:
        _check(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise (_has_objects(path) if zipfile.is_zipfile(path) else _no_torch_file(path)) from error
    except PermissionError as error:
        raise unreadable(path, error) from error
    except MemoryError as error:
        raise CheckpointError(f"{path}: the machine has too little memory for this file") from error
    except Exception as error:  # the reader of a damaged file may stumble anywhere
        raise _incomplete(path) from error


def _check(path: Path) -> None:
    if zipfile.is_zipfile(path):
        _check_archive(path)
        return
    with path.open("rb") as file:
        content = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    if content.getvalue()[:2] in (b"", b"PK"):
        raise _incomplete(path)
    try:
        magic = [argument for _, argument, _ in pickletools.genops(content) if isinstance(argument, int)]
    except ValueError as error:
        raise _no_torch_file(path) from error
    if LEGACY_MAGIC not in magic:
        raise _no_torch_file(path)
    for _ in range(LEGACY_PICKLES):
        _check_pickle(path, content, largest=max(path.stat().st_size, MAX_PICKLE_BYTES))


def _check_archive(path: Path) -> None:
    """Sizes as declared, which PyTorch's reader goes by, too."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        unpacked = sum(entry.file_size for entry in entries)
        if len(entries) > MAX_ZIP_ENTRIES or unpacked > MAX_UNPACKED_RATIO * size:
            raise CheckpointError(
                f"{path}: {len(entries):,} parts of {unpacked / 1e6:,.1f} MB in all are packed into {size / 1e6:,.1f} "
                "MB, which PyTorch does not do; it is not unpacked: fetch the file again, from a source that you trust"
            )
        pickles = [entry for entry in entries if entry.filename.endswith("data.pkl")]
        for entry in pickles:
            if entry.file_size > MAX_PICKLE_BYTES:
                raise _too_large(path)
            _check_pickle(path, io.BytesIO(archive.read(entry)))


def _check_pickle(path: Path, content: io.BytesIO, largest: int = 2**63) -> None:
    """CheckpointError if a pickle names what no file of tensors needs, or holds numbers above `largest` (they may be
    sizes); ValueError if it is none.
    """
    for operation, argument, _ in pickletools.genops(content):
        if operation.name == "GLOBAL" and argument not in NEEDED_GLOBALS:
            raise _has_objects(path, str(argument).replace(" ", "."))
        if operation.name in CALLING_OPERATIONS:
            raise _has_objects(path, operation.name)
        if isinstance(argument, int) and abs(argument) > largest:
            raise CheckpointError(f"{path}: it holds a number out of all proportion; save its state dict alone")


def _has_objects(path: Path, name: str = "") -> CheckpointError:
    what = f" ({name[:60]})" if name else ""
    return CheckpointError(
        f"{path}: the file holds Python objects besides tensors{what}, which are not loaded because they could run "
        "code or take any amount of memory; save its state dict alone and pass that"
    )


def _incomplete(path: Path) -> CheckpointError:
    size = path.stat().st_size / 1e6
    return CheckpointError(
        f"{path}: this is not a complete PyTorch checkpoint ({size:.1f} MB, cut off or damaged); fetch it again"
    )


def _no_torch_file(path: Path) -> CheckpointError:
    return CheckpointError(f"{path}: this is not a PyTorch checkpoint (a .pyth or .pth file was expected)")


def _too_large(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path}: the list of its tensors takes more than {MAX_PICKLE_BYTES:,} bytes; save its state dict alone"
    )
