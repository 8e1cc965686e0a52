import subprocess
import sys

import pytest

from modicum.recipes import build_recipe, read_recipe, recipe_names
from modicum.saliency.recipe import SaliencyRecipe
from modicum.storage.errors import RecipeError

NAMES = [name for name in recipe_names() if name.startswith("saliency-")]


def test_there_are_recipes_for_the_default_own_data_and_the_published_ones():
    suffixes = ["ecssd-small", "f3net", "photos", "poolnet", "quick", "scenes"]
    assert [f"saliency-{suffix}" for suffix in suffixes] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_named_recipe_is_valid(name):
    recipe = build_recipe(SaliencyRecipe, read_recipe(name))
    assert recipe.facts()["Images"] == f"{recipe.image_px} px"


def test_facts_say_where_the_encoder_starts():
    facts = [
        build_recipe(SaliencyRecipe, {"network": network}).facts()["Encoder"]
        for network in ({}, {"pretrained": True}, {"checkpoint": "w.pth"})
    ]
    assert [fact.partition(", ")[2] for fact in facts] == ["from scratch", "pretrained (timm)", "from w.pth"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_px": 8}, "image_px must be at least 32, got 8"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"ema_decay": 1.0}, r"ema_decay must be in \(0, 1\) or none, got 1.0"),
        ({"network": {"steps": 6}}, r"network.steps must be 0\.\.5, got 6"),
        ({"network": {"width": 4}}, "network.width must be at least 8 channels, got 4"),
        ({"network": {"pretrained": True, "checkpoint": "w"}}, "network.pretrained must be false where a checkpoint"),
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


def test_recipe_imports_no_torch():
    code = "import sys, modicum.saliency.recipe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
