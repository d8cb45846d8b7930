"""Checks that the files and folders a recipe names exist, before a model is downloaded or loaded for them."""

from __future__ import annotations

from pathlib import Path

from memvit.labels import DATASETS
from memvit.training.recipe import ActionRecipe, DetectionRecipe, Recipe
from memvit.types import MemvitError

CLASSIFICATION_TEST_PATHS = ("val", "root", "labels")
CLASSIFICATION_PATHS = ("train", *CLASSIFICATION_TEST_PATHS)
ACTION_TEST_PATHS = ("videos", "frames", "frame_lists", "val_groundtruth", "val_boxes", "val_exclusions", "label_map")
ACTION_PATHS = ("train_boxes", "train_predicted", *ACTION_TEST_PATHS, "labels")
DETECTION_TEST_PATHS = ("val", "val_pictures", "domains")
DETECTION_PATHS = ("train", "train_pictures", *DETECTION_TEST_PATHS)
"""Keys of a recipe's `data` section whose values are paths, for each kind of recipe; for evaluation without `train`."""


def check_data_paths(recipe: Recipe, *, only_test: bool = False) -> None:
    """MemvitError with the key and the path if one does not exist. With `only_test` training data may be missing."""
    if isinstance(recipe, ActionRecipe):
        names: tuple[str, ...] = ACTION_TEST_PATHS if only_test else ACTION_PATHS
    elif isinstance(recipe, DetectionRecipe):
        names = DETECTION_TEST_PATHS if only_test else DETECTION_PATHS
    else:
        names = CLASSIFICATION_TEST_PATHS if only_test else CLASSIFICATION_PATHS
    for name in names:
        value = getattr(recipe.data, name)
        for path in value if isinstance(value, tuple | list) else [value]:
            if not path or (name == "labels" and path in DATASETS):
                continue
            try:
                Path(path).stat()
            except OSError as error:
                raise MemvitError(
                    f"data.{name}={path}: the path cannot be read ({error.strerror}); correct the recipe, or pass "
                    f"data.{name}=…"
                ) from error
