import pytest

from modicum.recipes import build_recipe, read_recipe
from modicum.restore.rnan.recipe import NetworkOptions, RNANRecipe
from modicum.restore.task import Task
from modicum.storage.errors import RecipeError


def test_defaults_are_the_published_training():
    recipe = RNANRecipe()
    assert (recipe.task, recipe.epochs, recipe.learning_rate) == (Task("denoise", 50), 1300, 1e-4)
    assert (recipe.schedule.kind, recipe.schedule.step_epochs, recipe.schedule.factor) == ("steps", 200, 0.5)
    assert (recipe.patches.side, recipe.patches.batch_size, recipe.patches.per_epoch) == (48, 16, 16_000)
    assert recipe.network == NetworkOptions(64, 8, non_local=True, normalize="sources", value_range=255.0)
    assert recipe.gradient_clip is None
    assert recipe.ema_decay is None


def test_published_recipe_differs_only_in_what_the_authors_code_did_otherwise():
    published = build_recipe(RNANRecipe, read_recipe("rnan-published"))
    assert published.network == NetworkOptions(normalize="outputs")
    assert published.patches.fixed
    assert published.schedule == RNANRecipe().schedule


@pytest.mark.parametrize(
    ("task", "loss"),
    [
        (Task("denoise", 30), "mse"),
        (Task("jpeg", 10), "mse"),
        (Task("demosaic"), "mse"),
        (Task("super-resolution", 2), "l1"),
    ],
)
def test_the_loss_is_what_was_published_unless_chosen(task, loss):
    assert RNANRecipe(task=task).chosen_loss == loss
    assert RNANRecipe(task=task, loss="l1").chosen_loss == "l1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"epochs": -1, "weights": "a.pt"}, "epochs must be at least 0, got -1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0.0"),
        ({"gradient_clip": 0.0}, "gradient_clip must be above 0 or none, got 0.0"),
        ({"ema_decay": 1.0}, r"ema_decay must be in \(0, 1\) or none, got 1.0"),
        ({"halo": -2}, "halo must be at least 0, got -2"),
        ({"tile": 39}, "tile must be even and at least 40 for a halo of 12, got 39"),
        ({"tile": 38}, "tile must be even and at least 40 for a halo of 12, got 38"),
    ],
)
def test_impossible_options_are_refused_by_name(options, message):
    with pytest.raises(RecipeError, match=message):
        RNANRecipe(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": 7}, "network.features must be even, at least 2, got 7"),
        ({"local_groups": -1}, "network.local_groups must be at least 0, got -1"),
        ({"value_range": 0.0}, "network.value_range must be above 0, got 0.0"),
    ],
)
def test_impossible_networks_are_refused_by_name(options, message):
    with pytest.raises(RecipeError, match=message):
        NetworkOptions(**options)


def test_given_weights_may_be_taken_as_they_are():
    assert RNANRecipe(epochs=0, weights="a.pt").epochs == 0


def test_facts_count_updates_and_groups():
    facts = RNANRecipe(network=NetworkOptions(local_groups=3), epochs=2, seed=5).facts()
    assert facts["Training"] == "2,000 updates of 16 patches of 48 px, mse"
    assert facts["Network"] == "64 features, 2 non-local and 3 local groups"
    assert (facts["Start"], facts["Seed"]) == ("from scratch", "5")
