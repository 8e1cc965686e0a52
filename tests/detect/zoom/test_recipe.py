import pytest
import yaml

from modicum.detect.zoom.recipe import ZoomRecipe
from modicum.recipes import build_recipe, recipe_text
from modicum.storage.errors import RecipeError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 1.0}, "scale must be above 0 and at most 0.5, got 1.0"),
        ({"window_sizes": []}, "window_sizes must be at least one pair of positive numbers"),
        ({"window_sizes": [[0.5, 0]]}, "window_sizes must be at least one pair of positive numbers"),
        ({"folds": 1}, "folds must be 0, or at least 2, got 1"),
        ({"folds": 3, "detector": "mine.onnx"}, "folds must be 0 where a detector is given"),
        ({"folds": 3, "rnet": {"form": "dense"}}, "folds must be 0 for the dense form"),
        ({"budget": 0.05}, "budget must be above scale squared and at most 1"),
        ({"policy": {"prices": [4, 1]}}, "policy.prices must be above 0 and rising"),
        ({"detectors": {"steps": 2}}, "detectors.epochs must be from 1 to detectors.steps"),
        ({"pictures": {"test_share": 0.9}}, "pictures.calibration_share and test_share must be above 0"),
    ],
)
def test_impossible_option_is_refused_with_its_name(options, message):
    with pytest.raises(RecipeError, match=message):
        build_recipe(ZoomRecipe, options)


def test_pairs_of_sizes_and_prices_survive_the_file():
    recipe = build_recipe(ZoomRecipe, {"window_sizes": [[0.5, 0.25], [640, 480]], "policy": {"prices": [1, 8]}})
    assert recipe.window_sizes == ((0.5, 0.25), (640, 480))
    assert recipe.policy.prices == (1, 8)
    assert build_recipe(ZoomRecipe, yaml.safe_load(recipe_text(recipe))) == recipe


@pytest.mark.parametrize(
    ("options", "part"), [({}, "calibration"), ({"folds": 2}, "train"), ({"detector": "a.onnx"}, "train")]
)
def test_rnet_learns_from_pictures_that_no_detector_was_trained_on(options, part):
    assert build_recipe(ZoomRecipe, options).learns_from == part
