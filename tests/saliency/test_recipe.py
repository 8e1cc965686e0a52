import subprocess
import sys

import pytest
import yaml

from modicum.recipes import build_recipe, read_recipe, recipe_names
from modicum.saliency.recipe import SaliencyRecipe
from modicum.storage.errors import RecipeError

NAMES = [name for name in recipe_names() if name.startswith("saliency-")]


def test_there_are_recipes_for_the_default_own_data_and_the_published_ones():
    suffixes = ["ecssd-pretrained", "ecssd-small", "f3net", "photos", "poolnet", "quick", "scenes"]
    assert [f"saliency-{suffix}" for suffix in suffixes] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_named_recipe_is_valid(name):
    recipe = build_recipe(SaliencyRecipe, read_recipe(name))
    assert recipe.facts()["Images"] == f"{recipe.image_px} px"


def test_facts_say_where_the_encoder_starts():
    facts = [
        build_recipe(SaliencyRecipe, options).facts()["Encoder"]
        for options in ({}, {"weights": "published"}, {"weights": "w.pth", "trunk": "frozen"})
    ]
    starts = ["from scratch", "weights published", "weights w.pth, trunk frozen"]
    assert [fact.partition(", ")[2] for fact in facts] == starts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_px": 8}, "image_px must be at least 32, got 8"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"ema_decay": 1.0}, r"ema_decay must be in \(0, 1\) or none, got 1.0"),
        ({"network": {"steps": 6}}, r"network.steps must be 0\.\.5, got 6"),
        ({"network": {"width": 4}}, "network.width must be at least 8 channels, got 4"),
        ({"network": {"pretrained": True}}, "^network.pretrained was replaced by weights: published"),
        ({"network": {"checkpoint": "w.pth"}}, "^network.checkpoint was replaced by weights: the file itself"),
        ({"network": {"encoder": "small"}, "weights": "w.pth"}, "network.encoder must be one of timm's where weights"),
        (
            {"weights": "lite0"},
            "but network.encoder is mobilenetv3_large_100: choose --network.encoder tf_efficientnet",
        ),
        ({"trunk": "frozen"}, 'trunk must be "tuned" where no weights are given, got frozen'),
        ({"loss": {"region_weight": -1}}, "loss.region_weight must be at least 0"),
        ({"images": {"batch_size": 1}}, "images.batch_size must be at least 2"),
        ({"images": {"test_share": 0.95}}, "above 0 and below 1 together, got 0.1 and 0.95"),
        ({"images": {"batch_px": [16]}}, "images.batch_px must be at least 32 each"),
        ({"optimizer": {"head_rate": 0}}, "optimizer rates must be above 0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(RecipeError, match=message):
        build_recipe(SaliencyRecipe, options)


@pytest.mark.parametrize(
    ("network", "weights"),
    [
        ({"pretrained": True, "checkpoint": None}, "published"),
        ({"pretrained": False, "checkpoint": "w.pth"}, "w.pth"),
        ({"pretrained": False, "checkpoint": None}, None),
    ],
)
def test_older_run_opens_with_what_its_encoder_started_from(network, weights, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump({"network": {"encoder": "resnet18", **network}}))
    recipe = build_recipe(SaliencyRecipe, read_recipe(file, SaliencyRecipe, of_run=True))
    assert (recipe.weights, recipe.network.encoder) == (weights, "resnet18")
    if weights is not None:
        with pytest.raises(RecipeError, match="was replaced by weights"):
            read_recipe(file, SaliencyRecipe)


def test_recipe_imports_no_torch():
    code = "import sys, modicum.saliency.recipe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
