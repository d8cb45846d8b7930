"""Reads recipes from YAML files and `key=value` overrides, and writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memvit.training.recipe import RECIPES, Recipe
from memvit.training.recipe_keys import set_values, value_of
from memvit.types import MemvitError

AT_LEAST_ONE = ("run.batch_size", "run.accumulate", "schedule.epochs")
"""Keys whose values must be at least 1."""


def load_recipe(path: str | Path, overrides: list[str] | None = None) -> Recipe:
    """Read a YAML file and apply `key=value` overrides, for example `run.out=runs/7` or `optimizer.learning_rate=2e-4`.

    MemvitError if the file cannot be read, a key does not exist, or a value has the wrong type.
    """
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        content = OmegaConf.load(path)
    except OSError as error:
        raise MemvitError(f"{path}: the recipe cannot be read ({error.strerror}); see configs/ for recipes") from error
    except YAMLError as error:
        raise MemvitError(f"{path}: this is not valid YAML ({' '.join(str(error).split())})") from error
    task = content.get("task") if isinstance(content, DictConfig) else None
    if task not in RECIPES:
        raise MemvitError(f"{path}: `task:` must be one of {', '.join(RECIPES)}, found {task!r}")
    merged = OmegaConf.structured(RECIPES[task])
    _unlock(merged)
    set_values(merged, content, RECIPES, f"{path}: ")
    for override in overrides or []:
        if "=" not in override:
            raise MemvitError(f"{override}: an override is key=value, for example run.out=runs/7")
        try:
            change = OmegaConf.from_dotlist([override])
        except (OmegaConfBaseException, YAMLError) as error:
            raise MemvitError(f"{override}: the value is not valid YAML; a list is written [1,2]") from error
        set_values(merged, change, RECIPES)
    try:
        recipe = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise MemvitError(f"{path}: {getattr(error, 'full_key', '')}: {str(error).splitlines()[0]}") from error
    assert isinstance(recipe, RECIPES[task])
    for name in AT_LEAST_ONE:
        if value_of(recipe, name) < 1:
            raise MemvitError(f"{name}={value_of(recipe, name)}: this must be at least 1")
    return recipe


def recipe_yaml(recipe: Recipe) -> str:
    """The recipe as YAML, including all defaults. `load_recipe` reads an equal recipe from it."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.structured(recipe))


def _unlock(node: Any) -> None:
    """Make nodes writable: OmegaConf makes nodes of frozen dataclasses read-only, but only the finished recipe is."""
    from omegaconf import DictConfig, OmegaConf

    OmegaConf.set_readonly(node, None)
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig):
            _unlock(child)
