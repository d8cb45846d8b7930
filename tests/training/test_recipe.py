"""Recipes: every file in configs/ is valid, mistakes get a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memvit.training.recipe import RECIPES
from memvit.training.recipe_file import load_recipe, recipe_yaml
from memvit.training.recipe_keys import keys_of, meanings_of
from memvit.types import MemvitError

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_loads_and_survives_writing(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(path)
    (tmp_path / "again.yaml").write_text(recipe_yaml(recipe))
    assert load_recipe(tmp_path / "again.yaml") == recipe


def test_overrides_win() -> None:
    recipe = load_recipe(CONFIGS / "motion.yaml", ["run.out=elsewhere", "augment.area=[0.5,1]", "run.accumulate=2"])
    assert (recipe.run.out, recipe.augment.area, recipe.run.accumulate) == ("elsewhere", (0.5, 1.0), 2)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.learning_rat=1", "did you mean optimizer.learning_rate\\?"),
        ("batch_size=2", "there is no key batch_size; did you mean run.batch_size\\?"),
        ("run.batch=2", "did you mean run.batch_size\\?"),
        ("modl.name=x", "did you mean model.name\\?"),
        ("zzz=2", "there is no key zzz; `memvit train RECIPE --keys` lists them all"),
        ("data.frames=x", "is a key of recipes with `task: actions`"),
        ("run=5", "run is a section of keys"),
        ("optimizer.kind=adam", "optimizer.kind=adam: this must be one of adamw, sgd"),
        ("run.batch_size=many", "run.batch_size=many: this must be a whole number"),
        ("run.batch_size={x: 1}", "run.batch_size=.*: this must be a whole number"),
        ("run.batch_size=0", "run.batch_size=0: this must be at least 1"),
        ("optimizer.clip_norm=x", "this must be a number or null"),
        ("augment.area=[1,2,3]", r"augment.area=\[1, 2, 3\]: this must be a list of 2 numbers"),
        ("augment.area=[1,2", "is not valid YAML"),
        ("data.train=${x}", "data.train: Interpolation key 'x' not found"),
        ("nonsense", "an override is key=value"),
    ],
)
def test_invalid_overrides_are_refused_with_one_sentence(override: str, message: str) -> None:
    with pytest.raises(MemvitError, match=message) as raised:
        load_recipe(CONFIGS / "motion.yaml", [override])
    assert not re.search(r"Recipe\b|Config\b|Augmentation|object_type", str(raised.value)), "no names of classes"


def test_a_misplaced_key_of_a_file_gets_the_file_and_the_right_place(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("task: classification\nbatch_size: 4\n")
    with pytest.raises(MemvitError, match=r"mine.yaml: there is no key batch_size; did you mean run.batch_size\?"):
        load_recipe(path)


@pytest.mark.parametrize("task", RECIPES)
def test_every_key_says_what_it_means(task: str) -> None:
    meanings = meanings_of(RECIPES[task])
    assert list(meanings) == list(keys_of(RECIPES[task])) and len(meanings) > 30
    assert not [key for key, text in meanings.items() if not text.endswith(".")]


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(MemvitError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_text("task: [")
    with pytest.raises(MemvitError, match="not valid YAML"):
        load_recipe(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("model: {}\n")
    with pytest.raises(MemvitError, match="`task:` must be one of"):
        load_recipe(tmp_path / "b.yaml")
