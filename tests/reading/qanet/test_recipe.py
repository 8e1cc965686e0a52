import pytest

from modicum.reading.qanet.options import PRESETS, DropoutOptions, NetworkOptions
from modicum.reading.qanet.recipe import QANetRecipe
from modicum.reading.recipe import AugmentationOptions
from modicum.recipes import build_recipe, read_recipe
from modicum.storage.errors import RecipeError
from modicum.training.recipe import TrainerOptions


def test_defaults_are_the_published_training():
    recipe = QANetRecipe()
    assert recipe.network == NetworkOptions()
    assert (recipe.text.passage_tokens, recipe.text.question_tokens, recipe.text.answer_tokens) == (400, 50, 30)
    assert (recipe.text.batch_size, recipe.ema_decay) == (32, 0.9999)
    optimizer = recipe.optimizer
    assert (optimizer.learning_rate, optimizer.betas, optimizer.epsilon) == (1e-3, (0.8, 0.999), 1e-7)
    assert (optimizer.warmup, optimizer.warmup_steps) == ("log", 1000)
    assert (optimizer.weight_decay, optimizer.gradient_clip) == (3e-7, 5.0)
    assert recipe.epochs * 87_599 / 32 == pytest.approx(150_000, rel=0.01)


@pytest.mark.parametrize(
    ("name", "preset"),
    [("qanet-published", "qanet"), ("qanet-small", "qanet-small"), ("qanet-squad-small", "qanet-tiny")],
)
def test_named_recipes_build_the_presets(name, preset):
    assert build_recipe(QANetRecipe, read_recipe(name)).network == PRESETS[preset]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"ema_decay": 1.0}, r"ema_decay must be in \(0, 1\) or none, got 1.0"),
        ({"trainer": TrainerOptions(devices=2, strategy="ddp_find_unused_parameters_false")}, "got ddp_find_.*_false"),
        ({"trainer": TrainerOptions(devices=2)}, '"ddp_find_unused_parameters_true" with several devices.*, got auto'),
        (
            {"trainer": TrainerOptions(num_nodes=2, strategy="ddp")},
            "layer dropout skips some of the weights.*, got ddp",
        ),
        ({"vectors": "glove.txt", "words": "trained"}, "words must be left out where a file of vectors is given"),
    ],
)
def test_impossible_options_are_refused_by_name(options, message):
    with pytest.raises(RecipeError, match=message):
        QANetRecipe(**options)


@pytest.mark.parametrize(
    ("strategy", "layer_dropout"), [("ddp_find_unused_parameters_true", 0.1), ("auto", 0.0), ("ddp", 0.0)]
)
def test_several_devices_are_welcome_where_none_waits_for_gradients_that_never_come(strategy, layer_dropout):
    network = NetworkOptions(dropout=DropoutOptions(layer_dropout=layer_dropout))
    QANetRecipe(network=network, trainer=TrainerOptions(devices=2, strategy=strategy))


def test_facts_tell_the_input_that_the_paper_does_not_have():
    tiny = QANetRecipe(network=PRESETS["qanet-tiny"], vectors="glove.txt")
    assert "told which words occur in the question" in tiny.facts()["Network"]
    assert "told" not in QANetRecipe().facts()["Network"]
    assert tiny.facts()["Word vectors"] == "glove.txt"


def test_facts_tell_where_paraphrases_come_from():
    def augmentation(**options):
        return QANetRecipe(augmentation=AugmentationOptions(**options)).facts()["Augmentation"]

    assert augmentation() == "none"
    assert augmentation(rules=True) == "rules"
    assert augmentation(files=("fr.json",), rules=True) == "fr.json, rules"
