"""Reads the keys of a recipe from its dataclasses: their names, types in words, defaults and meanings."""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from memvit.types import MemvitError

WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", NoneType: "null"}
PLURALS = {str: "texts", int: "whole numbers", float: "numbers"}


@dataclass(frozen=True)
class RecipeKey:
    """A key of a recipe, such as `run.batch_size`."""

    name: str
    """The key with its section, for example `run.batch_size`."""
    kind: str
    """The type of its value in words, for example "a whole number"."""
    default: Any


def keys_of(recipe_class: type) -> dict[str, RecipeKey]:
    """All keys of a class of recipes by name, ordered by section."""
    return {key.name: key for key in _keys(recipe_class, recipe_class(), "")}


def meanings_of(recipe_class: type, prefix: str = "") -> dict[str, str]:
    """Key → its meaning, which is the text below its field in the source."""
    texts, defaults, found = _texts(recipe_class), recipe_class(), dict[str, str]()
    for field in fields(recipe_class):
        default, name = getattr(defaults, field.name), prefix + field.name
        if is_dataclass(default):
            found |= meanings_of(type(default), f"{name}.")
        else:
            found[name] = texts.get(field.name, "")
    return found


def set_values(recipe: Any, change: Any, recipes: Mapping[str, type], where: str = "") -> None:
    """Put all values of `change` into a recipe; both are OmegaConf nodes.

    MemvitError, beginning with `where`, if a key does not exist or its value has the wrong type.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    known = keys_of(recipes[recipe.task])
    for name, value in _leaves(OmegaConf.to_container(change), known):
        if name not in known:
            raise MemvitError(where + _no_such_key(name, recipe.task, recipes))
        try:
            OmegaConf.update(recipe, name, value)
        except (OmegaConfBaseException, ValueError, TypeError) as error:
            raise MemvitError(f"{where}{name}={written(value)}: this must be {known[name].kind}") from error


def value_of(recipe: Any, name: str) -> Any:
    """The value of a key in a recipe."""
    for part in name.split("."):
        recipe = getattr(recipe, part)
    return recipe


def nearest_keys(name: str, known: Iterable[str]) -> list[str]:
    """Keys that `name` may stand for: the same key with its section, or one with a similar spelling."""
    known = list(known)
    leaves = {key: key.rpartition(".")[2] for key in known}
    leaf = name.rpartition(".")[2]
    same = [key for key in known if leaves[key] == leaf]
    if same:
        return same
    close = difflib.get_close_matches(name, known, 1, 0.8)
    alike = difflib.get_close_matches(leaf, set(leaves.values()), 1, 0.7)
    return close or [key for key in known if leaves[key] in alike or (leaf and leaves[key].startswith(f"{leaf}_"))]


def written(value: Any) -> str:
    """A value in the notation of a recipe."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value) if value != "" else '""'


def _keys(section: type, defaults: Any, prefix: str) -> Iterator[RecipeKey]:
    hints = get_type_hints(section)
    for field in fields(section):
        default = getattr(defaults, field.name)
        if is_dataclass(default):
            yield from _keys(type(default), default, f"{prefix}{field.name}.")
        else:
            yield RecipeKey(prefix + field.name, _kind(hints[field.name]), default)


def _kind(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}" if len(arguments) > 1 else str(arguments[0])
    if origin in (Union, UnionType):
        return " or ".join(_kind(argument) for argument in arguments)
    if origin is tuple:
        plural = PLURALS[arguments[0]]
        return f"a list of {plural}" if arguments[-1] is Ellipsis else f"a list of {len(arguments)} {plural}"
    return WORDS[hint]


def _leaves(node: Any, known: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values."""
    for part, value in node.items():
        name = f"{prefix}{part}"
        if isinstance(value, dict) and name not in known:
            yield from _leaves(value, known, f"{name}.")
        else:
            yield name, value


def _no_such_key(name: str, task: str, recipes: Mapping[str, type]) -> str:
    known = keys_of(recipes[task])
    within = [key for key in known if key.startswith(f"{name}.")]
    if within:
        return f"{name} is a section of keys and has no value of its own; write {within[0]}=… for example"
    for other, recipe_class in recipes.items():
        if name in keys_of(recipe_class):
            return f"{name} is a key of recipes with `task: {other}`; this one has `task: {task}`"
    near = nearest_keys(name, known)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"there is no key {name}; {hint}`memvit train RECIPE --keys` lists them all"


def _texts(section: type) -> dict[str, str]:
    """Field → the text below it in the source."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for statement, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            is_text = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            if is_text:
                assert isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
                found[statement.target.id] = " ".join(str(following.value.value).split())
    return found
