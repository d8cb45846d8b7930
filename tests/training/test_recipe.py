"""Recipes: every file in configs/ is valid, mistakes get a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from memvit.training.recipe import load_recipe, recipe_yaml
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
        ("optimizer.learning_rat=1", "Did you mean: 'learning_rate'"),
        ("optimizer.kind=adam", "expected one of"),
        ("run.batch_size=many", "run.batch_size"),
        ("augment.area=[1,2,3]", "length"),
        ("nonsense", "an override is key=value"),
    ],
)
def test_mistakes_get_a_sentence(override: str, message: str) -> None:
    with pytest.raises(MemvitError, match=message):
        load_recipe(CONFIGS / "motion.yaml", [override])


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(MemvitError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_text("task: [")
    with pytest.raises(MemvitError, match="not valid YAML"):
        load_recipe(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("model: {}\n")
    with pytest.raises(MemvitError, match="`task:` must be one of"):
        load_recipe(tmp_path / "b.yaml")
