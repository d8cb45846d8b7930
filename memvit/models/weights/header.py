"""The header of a safetensors file: names, types and shapes of its tensors, before any tensor is read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CheckpointError
from .limits import MAX_FILE_BYTES, MAX_HEADER_BYTES

if TYPE_CHECKING:
    from torch import Tensor

FLOATING = ("F64", "F32", "F16", "BF16")
BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Of one value; the library knows further types, which no weights are of."""


@dataclass(frozen=True)
class TensorInfo:
    """What a header says of a tensor."""

    dtype: str
    """As safetensors writes it: F32, BF16, I64 …"""
    shape: tuple[int, ...]

    @property
    def is_floating(self) -> bool:
        """Whether weights can be of this type."""
        return self.dtype in FLOATING

    def numel(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class SafetensorsHeader:
    """All that a file says before its tensors."""

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]


def read_header(path: Path) -> SafetensorsHeader:
    """The header of a file, without mapping the file. CheckpointError if it is too large, damaged or cut off."""
    check_size(path)
    with _in_one_sentence(path), path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise CheckpointError(
                f"{path}: its header claims {length:,} bytes, allowed are {MAX_HEADER_BYTES:,}; fetch the file again"
            )
        content = json.loads(file.read(length))
        return _header(content, path.stat().st_size - 8 - length)


def _header(content: Any, data_bytes: int) -> SafetensorsHeader:
    """ValueError if the tensors do not fill the data, one after the other, or texts are none."""
    if not isinstance(content, dict):
        raise ValueError("its header is no object")
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are no texts")
    tensors, places = {}, []
    for name, entry in content.items():
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not all(type(number) is int and 0 <= number < 2**63 for number in (*shape, begin, end)):
            raise ValueError(f"{name[:80]} has sizes that are none")
        tensors[name] = TensorInfo(str(dtype), tuple(shape))
        if dtype in BYTES and tensors[name].numel() * BYTES[dtype] != end - begin:
            raise ValueError(f"{name[:80]} has another size than its shape")
        places.append((begin, end))
    places.sort()
    starts, ends = [begin for begin, _ in places], [end for _, end in places]
    if [*starts, data_bytes] != [0, *ends]:
        raise ValueError("its tensors are not all of its content, one after the other")
    return SafetensorsHeader(tensors, metadata)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file whose header was found in order. CheckpointError if they cannot be read."""
    from safetensors.torch import load_file

    with _in_one_sentence(path):
        tensors: dict[str, Tensor] = load_file(path)
    return tensors


@contextmanager
def _in_one_sentence(path: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError, RuntimeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{path}: this is not a complete safetensors file ({_first_line(error)}); fetch it again"
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error
    except MemoryError as error:
        raise CheckpointError(f"{path}: the machine has too little memory for this file") from error


def check_size(path: Path) -> None:
    """CheckpointError if a path is no file, or larger than any checkpoint."""
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint file")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise CheckpointError(
            f"{path}: {size / 1e9:.0f} GB are more than any checkpoint of these models; check the path"
        )


def unreadable(path: Path, error: OSError) -> CheckpointError:
    """What to say when the system does not let a file be read."""
    return CheckpointError(f"{path}: the file cannot be read ({error.strerror or error}); check its permissions")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
