"""Pickles of NumPy arrays, as detectron2 releases its weights, read without running anything of them.

Only what such files need is understood: arrays, types of numbers, texts, dictionaries and lists. Nothing of NumPy is
called with arguments of the file: arrays are made from the bytes that lie in it, so a file cannot take more memory than
about its own size.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from memvit.models import CheckpointError
from memvit.models.weights.header import check_size, unreadable

from .pickle_tuples import TupleSizes

MAX_OPERATIONS = 2_000_000
"""Of a file; the largest released one has about 60,000."""
MAX_TUPLE = 64
"""Values in a tuple, with those in tuples in it. What describes an array has fewer than 30. As a tuple may hold one
other many times, a short file could hold one of which every use takes forever."""
MAX_DIMENSIONS = 8
NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")
OTHER_OPERATIONS = {
    *("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"),
    *("PERSID", "BINPERSID", "NEXT_BUFFER", "READONLY_BUFFER"),
}
"""Ways of a pickle to make objects, or to take memory, that files of arrays do not need."""


def load_numpy_pickle(path: Path) -> object:
    """What a pickle holds, its arrays as NumPy arrays. CheckpointError, in one sentence, if it is damaged, of another
    kind, or holds anything but arrays and plain values.
    """
    check_size(path)
    try:
        with path.open("rb") as file:
            _check(_Limited(file, path.stat().st_size), path)
        with path.open("rb") as file:
            return _Reader(file, path).load()
    except CheckpointError:
        raise
    except PermissionError as error:
        raise unreadable(path, error) from error
    except MemoryError as error:
        raise CheckpointError(f"{path}: the machine has too little memory for this file") from error
    except Exception as error:  # the reader of a damaged file may stumble anywhere
        raise CheckpointError(
            f"{path}: this is not a complete pickle of NumPy arrays ({_first_line(error)}); fetch it again"
        ) from error


class _Limited(io.RawIOBase):
    """A file of which no more can be asked than it has: a length that it claims is checked before it is read."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__()
        self._file, self._size = file, size

    def read(self, count: int = -1) -> bytes:
        """The next bytes; ValueError if there are fewer."""
        if count > self._size - self._file.tell():
            raise ValueError("it ends too early")
        return self._file.read(count)

    def readline(self, size: int | None = -1) -> bytes:
        """The next line."""
        return self._file.readline(-1 if size is None else size)

    def tell(self) -> int:
        """The place of the next byte."""
        return self._file.tell()


def _check(file: _Limited, path: Path) -> None:
    """Go through all operations of a pickle; CheckpointError if there is one that files of arrays do not need."""
    sizes = TupleSizes()
    for number, (operation, argument, _) in enumerate(pickletools.genops(cast(BinaryIO, file))):
        if operation.name in OTHER_OPERATIONS:
            raise _has_objects(path, operation.name)
        is_place = operation.name in ("PUT", "BINPUT", "LONG_BINPUT")
        if number >= MAX_OPERATIONS or (is_place and isinstance(argument, int) and argument > MAX_OPERATIONS):
            raise CheckpointError(f"{path}: it is a pickle out of all proportion; fetch it again from its publisher")
        sizes.follow(operation, argument)
        if sizes.largest > MAX_TUPLE:
            raise CheckpointError(
                f"{path}: it holds tuples within tuples, which arrays do not need; fetch it again from its publisher"
            )


class _Reader(pickle.Unpickler):
    """Finds stand-ins for the few names that files of arrays hold, and refuses all others."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        # Files that Python 2 wrote hold bytes as texts.
        super().__init__(file, encoding="latin1")
        self._path, self._room = path, path.stat().st_size

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """The stand-in of a name; CheckpointError if it has none."""
        if module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            known: dict[str, Callable[..., Any]] = {"_reconstruct": _Array, "scalar": _scalar}
        elif module in ("numpy.core.numeric", "numpy._core.numeric"):
            known = {"_frombuffer": _from_buffer}
        elif module == "numpy":
            known = {"ndarray": _Array, "dtype": _Dtype}
        elif module == "_codecs":
            known = {"encode": self._encoded}
        else:
            known = {"OrderedDict": _empty_dict} if module == "collections" else {}
        if name not in known:
            raise _has_objects(self._path, f"{module}.{name}")
        return known[name]

    def _encoded(self, text: str, encoding: str) -> bytes:
        """Bytes that were written as a text; no more in all than the file has."""
        self._room -= len(text)
        if encoding != "latin1" or self._room < 0:
            raise ValueError("its bytes are written in an unknown way")
        return text.encode("latin1")

    def load(self) -> object:
        """The content, with arrays in the place of their stand-ins."""
        return _plain(super().load(), 0, {})


class _Dtype:
    """A type of numbers, in the making."""

    def __init__(self, code: str, *_: object) -> None:
        if not isinstance(code, str) or code not in NUMBERS:
            raise ValueError(f"it holds values of type {code[:20] if isinstance(code, str) else type(code)!r}")
        self.code, self.order = code, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type for NumPy."""
        return np.dtype(self.order + self.code)


class _Array:
    """An array, in the making."""

    def __init__(self, *_: object) -> None:
        self.array: NDArray[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, content = state
        data = content.encode("latin1") if isinstance(content, str) else content
        self.array = _array(data, dtype, shape, is_fortran=bool(is_fortran))


def _from_buffer(data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    made = _Array()
    made.array = _array(data, dtype, shape, is_fortran=order == "F")
    return made


def _scalar(dtype: _Dtype, data: bytes | str) -> Any:
    return _array(data.encode("latin1") if isinstance(data, str) else data, dtype, (), is_fortran=False)[()]


def _array(data: object, dtype: object, shape: object, *, is_fortran: bool) -> NDArray[Any]:
    """A view of bytes as an array. ValueError if they are not as many as the shape needs."""
    if not (isinstance(data, bytes | bytearray) and isinstance(dtype, _Dtype) and isinstance(shape, tuple)):
        raise ValueError("an array is written in an unknown way")
    if len(shape) > MAX_DIMENSIONS or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError("an array has sizes that are none")
    if math.prod(shape) * dtype.dtype.itemsize != len(data):
        raise ValueError("an array has another size than its shape")
    return np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if is_fortran else "C")


def _empty_dict() -> OrderedDict[object, object]:
    return OrderedDict()


def _plain(value: object, depth: int, done: dict[tuple[int, int], object]) -> object:
    """Stand-ins of arrays → arrays, in dictionaries within dictionaries. `done` has those that occur again."""
    if isinstance(value, _Array):
        return value.array
    if isinstance(value, dict) and depth < 4:
        place = (id(value), depth)
        if place not in done:
            done[place] = {name: _plain(item, depth + 1, done) for name, item in value.items()}
        return done[place]
    return value


def _has_objects(path: Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: the file holds Python objects besides NumPy arrays ({name[:60]}), which are not loaded because they "
        "could run code; use the file that the model's authors publish"
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]
