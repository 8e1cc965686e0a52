import pytest

from modicum.classify.ranet.recipe import RANetRecipe
from modicum.classify.ranet.segments import count_pieces
from modicum.classify.ranet.structure import CIFAR_8_EXITS, STRUCTURES, Structure
from modicum.flags import parse_training, verb_parser
from modicum.recipes import build_recipe, read_recipe, recipe_names, recipe_text
from modicum.storage.errors import RecipeError

NAMES = [name for name in recipe_names() if name.startswith("ranet-")]
SMALL = {"scales": [1, 2], "growth_factors": [2, 1], "bottleneck_factors": [2, 1], "growth": 8}


def flags(*words):
    return parse_training(verb_parser("train", ""), ["ranet", *words])["recipe"]


def test_defaults_are_the_published_training_on_cifar():
    recipe = RANetRecipe()
    optimizer = recipe.optimizer
    assert recipe.plan == CIFAR_8_EXITS
    assert (optimizer.learning_rate, optimizer.momentum, optimizer.weight_decay) == (0.1, 0.9, 1e-4)
    assert not optimizer.nesterov
    assert (recipe.schedule.kind, recipe.schedule.milestones) == ("milestones", (0.5, 0.75))
    assert (recipe.epochs, recipe.images.batch_size, recipe.images.crop) == (300, 64, "pad")
    assert (recipe.exit_rule, recipe.temperature, recipe.head, recipe.ema_decay) == ("geometric", False, "full", None)


def test_published_recipes_keep_calibration_images_out_of_training():
    recipes = [build_recipe(RANetRecipe, read_recipe(name)) for name in ("ranet-cifar10", "ranet-imagenet")]
    assert [recipe.images.calibration_share for recipe in recipes] == [0.1, 0.04]


def test_structure_is_found_by_its_name():
    assert {name: RANetRecipe(structure=name, image_px=224).plan for name in STRUCTURES} == STRUCTURES


def test_structure_can_be_spelt_out():
    recipe = build_recipe(RANetRecipe, {"structure": SMALL})
    assert recipe.plan == Structure(scales=(1, 2), growth_factors=(2, 1), bottleneck_factors=(2, 1), growth=8)


@pytest.mark.parametrize("name", NAMES)
def test_budget_of_a_named_recipe_is_above_its_first_exit(name):
    recipe = build_recipe(RANetRecipe, read_recipe(name))
    trunk, heads = count_pieces(recipe.plan, 10, recipe.image_px, recipe.head)
    assert trunk[0] + heads[0] < recipe.budget * (sum(trunk) + heads[-1])


@pytest.mark.parametrize("name", NAMES)
def test_flags_take_up_where_a_recipe_ends(name):
    recipe = flags("--recipe", name, "--epochs", "7")
    assert recipe == build_recipe(RANetRecipe, read_recipe(name) | {"epochs": 7})


def test_spelt_out_structure_survives_its_run_folder(tmp_path):
    recipe = build_recipe(RANetRecipe, {"structure": SMALL})
    file = tmp_path / "recipe.yaml"
    file.write_text(recipe_text(recipe))
    assert build_recipe(RANetRecipe, read_recipe(file)) == recipe
    assert flags("--recipe", str(file)) == recipe


def test_flag_can_name_a_structure_or_spell_it_out():
    assert flags("--structure", "cifar-6-exits").plan == Structure()
    assert flags("--structure", '{"growth": 8}').plan == Structure(growth=8)


def test_facts_say_what_was_built():
    assert "cifar-8-exits: 4 sub-networks at scales 1, 2, 3, 3, 8 exits" in RANetRecipe().facts()["Structure"]
    assert RANetRecipe(structure=Structure(), temperature=True).facts()["Structure"].startswith("own: 3 sub-networks")
    assert RANetRecipe(temperature=True).facts()["Exit rule"] == "geometric, with a temperature per exit"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"structure": "cifar-8-exit"}, "structure 'cifar-8-exit' is not known: did you mean cifar-8-exits"),
        ({"structure": {"grow": 8}}, "'grow' is not accepted"),
        ({"structure": {"growth": 0}}, "growth must be at least 1, got 0"),
        ({"image_px": 7}, "image_px must be at least 8 pixels for this structure, got 7"),
        ({"budget": 0.0}, r"budget must be a share of the last exit's cost alone, in \(0, 1\], got 0"),
        ({"budget": 1.5}, r"budget must be a share of the last exit's cost alone, in \(0, 1\], got 1\.5"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"ema_decay": 1.0}, r"ema_decay must be in \(0, 1\) or none, got 1\.0"),
        ({"exit_rule": "best"}, "exit_rule"),
    ],
    ids=str,
)
def test_impossible_recipe_is_refused(options, message):
    with pytest.raises(RecipeError, match=message):
        build_recipe(RANetRecipe, options)
