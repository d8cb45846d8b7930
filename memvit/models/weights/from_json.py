"""Values read from JSON → frozen dataclasses, with every type checked: the file may hold anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

SHOWN_CHARACTERS = 40


def from_json(kind: Any, value: Any, where: str) -> Any:
    """`value` as `kind`: a dataclass, tuple, Literal, optional or plain type. Lists become tuples.

    ValueError that names the place, what was expected there and what was found.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _dataclass(kind, value, where)
    if origin in (Union, UnionType):
        (inner,) = (argument for argument in arguments if argument is not NoneType)
        return None if value is None else from_json(inner, value, where)
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            raise _wrong(where, f"one of {', '.join(arguments)}", value)
        return value
    if origin is tuple:
        return _tuple(arguments, value, where)
    if origin is Mapping:
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        return value
    return _plain(kind, value, where)


def nesting(value: Any) -> int:
    """How deep lists and objects lie within each other; 0 for a plain value."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    known = {field.name: field for field in fields(kind)}
    if unknown := sorted(value.keys() - known.keys()):
        raise ValueError(f"{where} has an unknown key {_shown(unknown[0])}")
    required = (name for name, field in known.items() if field.default is field.default_factory is MISSING)
    for name in required:
        if name not in value:
            raise ValueError(f"{where}.{name} is missing")
    hints = get_type_hints(kind)
    return kind(**{name: from_json(hints[name], item, f"{where}.{name}") for name, item in value.items()})


def _tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    is_open = arguments[-1] is Ellipsis
    if not isinstance(value, list) or not (is_open or len(value) == len(arguments)):
        raise _wrong(where, "a list" if is_open else f"a list of {len(arguments)}", value)
    kinds = [arguments[0]] * len(value) if is_open else arguments
    return tuple(from_json(kind, item, where) for kind, item in zip(kinds, value, strict=True))


def _plain(kind: type[Any], value: Any, where: str) -> Any:
    if kind is float and type(value) in (int, float):
        if abs(value) > 1e300 or math.isnan(value):
            raise _wrong(where, "a finite number", value)
        return float(value)
    if type(value) is not kind:  # True is no whole number here
        names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
        raise _wrong(where, names[kind], value)
    return value


def _wrong(where: str, expected: str, value: Any) -> ValueError:
    return ValueError(f"{where} should be {expected}, it is {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"an object of {len(value)} keys"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**18:
        return "a number above 10^18"
    text = "null" if value is None else repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
