import pytest
import yaml

from modicum.classify.blockdrop.recipe import BlockDropRecipe
from modicum.recipes import build_recipe, read_recipe, recipe_names, recipe_text
from modicum.storage.errors import RecipeError
from modicum.training.recipe import TrainerOptions


def test_defaults_are_the_published_recipe_for_cifar():
    recipe = BlockDropRecipe()
    assert (recipe.base_epochs, recipe.policy_epochs, recipe.joint_epochs) == (164, 5000, 2000)
    assert (recipe.policy_rate, recipe.joint_rate, recipe.alpha, recipe.entropy_weight) == (1e-3, 1e-4, 0.8, 0.1)
    assert (recipe.policy_batch_size, recipe.joint_batch_size, recipe.joint_gamma) == (2048, 256, -10)


@pytest.mark.parametrize("name", [name for name in recipe_names() if name.startswith("blockdrop-")])
def test_facts_of_every_named_recipe_name_its_backbone(name):
    recipe = build_recipe(BlockDropRecipe, read_recipe(name))
    assert recipe.facts()["Backbone"].startswith(f"{recipe.backbone}, ")


def test_facts_tell_where_the_backbone_came_from():
    assert "from scratch" in BlockDropRecipe().facts()["Backbone"]
    frozen = BlockDropRecipe(weights="resnet.safetensors", trunk="frozen").facts()["Backbone"]
    assert frozen.endswith(", weights resnet.safetensors, trunk frozen")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_px": 0}, "image_px must be a side in pixels, got 0"),
        ({"budget": 0}, r"budget must be a share of the plain network's cost, in \(0, 1\], got 0"),
        ({"base_epochs": -1}, "base_epochs must be at least 0, got -1"),
        ({"base_drop": 1.0}, r"base_drop must be a share of the blocks, in \[0, 1\), got 1\.0"),
        ({"policy_epochs": 0}, "policy_epochs must be at least 1, got 0"),
        ({"joint_epochs": 0}, "joint_epochs must be at least 1, got 0"),
        ({"epochs_per_block": 0}, "epochs_per_block must be above 0, got 0"),
        ({"gamma": 0.5}, "gamma must be at most 0, the reward of a right answer, got 0.5"),
        ({"joint_gamma": 1.0}, "joint_gamma must be at most 0"),
        ({"alpha": 1.0}, r"alpha must be in \(0\.5, 1\), got 1\.0"),
        ({"joint_alpha": 1.0}, r"joint_alpha must be in \(0\.5, 1\), got 1\.0"),
        ({"alpha": 0.5}, r"alpha must be in \(0\.5, 1\), got 0\.5"),
        ({"entropy_weight": -0.1}, "entropy_weight must be at least 0, got -0.1"),
        ({"policy_rate": 0.0}, "policy_rate must be above 0, got 0.0"),
        ({"joint_batch_size": 1}, "joint_batch_size must be at least 2 or none, got 1"),
        ({"images_per_epoch": 0}, "images_per_epoch must be at least 2 or none, got 0"),
        ({"method": "gates", "norm": "active"}, 'norm must be "frozen" with method "gates", got active'),
        ({"ema_decay": 1.0}, r"ema_decay must be in \(0, 1\) or none, got 1\.0"),
        ({"weights": "lite0"}, "weights lite0 belong to tf_efficientnet_lite0, but backbone is cifar_resnet110_pool"),
        ({"trunk": "frozen"}, 'trunk must be "tuned" where no weights are given, got frozen'),
        ({"weights": "a.safetensors", "trunk_rate": 0}, "trunk_rate must be above 0"),
        (
            {"trainer": TrainerOptions(devices=2)},
            "trainer.strategy must be .*, because a block that no image .*, got auto",
        ),
    ],
)
def test_impossible_recipe_is_refused(options, message):
    with pytest.raises(RecipeError, match=message):
        BlockDropRecipe(**options)


DOUBT = {"least": 0.55, "depths": None, "nested_epochs": 100, "nested_rate": 0.001, "class_epochs": 0}


@pytest.mark.parametrize("method", ["reinforce", "gates"])
def test_recipe_of_an_older_run_is_read_without_the_options_of_the_removed_method(tmp_path, method):
    recipe = BlockDropRecipe(method=method, norm="frozen")
    file = tmp_path / "recipe.yaml"
    file.write_text(recipe_text(recipe) + yaml.safe_dump({"doubt": DOUBT}))
    assert build_recipe(BlockDropRecipe, read_recipe(file, BlockDropRecipe)) == recipe


def test_run_of_the_removed_method_is_refused_with_what_to_do(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump({"method": "doubt", "policy": "classifier", "doubt": DOUBT}))
    with pytest.raises(RecipeError, match=r'^method "doubt" was removed, .*: train anew with method "gates", or .*$'):
        read_recipe(file, BlockDropRecipe)


def test_misspelt_option_is_refused_with_the_one_that_was_meant():
    with pytest.raises(RecipeError, match="did you mean entropy_weight"):
        build_recipe(BlockDropRecipe, {"entropy_wieght": 0.2})


def older(tmp_path, **options):
    """The file of a recipe as an earlier version resolved it."""
    found = yaml.safe_load(recipe_text(BlockDropRecipe()))
    del found["trunk"], found["trunk_rate"]
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump({**found, "pretrained": False, "policy_weights": None, **options}))
    return file


def test_recipe_of_an_older_run_that_left_the_replaced_options_off_is_read_everywhere(tmp_path):
    file = older(tmp_path)
    assert build_recipe(BlockDropRecipe, read_recipe(file, BlockDropRecipe)) == BlockDropRecipe()


def test_older_run_with_replaced_options_opens_with_the_new_one(tmp_path):
    file = older(tmp_path, pretrained=True, policy_weights="resnet18.safetensors", policy="resnet10")
    recipe = build_recipe(BlockDropRecipe, read_recipe(file, BlockDropRecipe, of_run=True))
    assert recipe.weights == "published"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pretrained": True}, "^pretrained was replaced by weights: published"),
        ({"policy_weights": "a.safetensors"}, "^policy_weights was replaced by weights"),
    ],
)
def test_recipe_that_uses_replaced_options_is_refused_with_the_new_one(tmp_path, options, message):
    with pytest.raises(RecipeError, match=message):
        read_recipe(older(tmp_path, **options), BlockDropRecipe)
    with pytest.raises(RecipeError, match=message):
        build_recipe(BlockDropRecipe, options)
