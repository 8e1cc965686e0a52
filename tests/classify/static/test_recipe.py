import pytest

from modicum.classify.static.recipe import StaticRecipe
from modicum.storage.errors import RecipeError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": ("digit_resnet",)}, "members must be at least two different networks, got digit_resnet"),
        ({"members": ("a", "a")}, "members must be at least two different networks, got a, a"),
        ({"budget": 0.0}, r"budget must be a share of the most expensive member's cost, in \(0, 1\], got 0.0"),
        ({"budget": 1.01}, r"budget must be a share of the most expensive member's cost, in \(0, 1\], got 1.01"),
        ({"weights": ("a.safetensors",)}, "weights must be one per member, or none at all, got a.safetensors"),
        ({"epochs": -1}, "epochs must be at least 0, got -1"),
        ({"image_px": 0}, "image_px must be a side in pixels, got 0"),
        ({"ema_decay": 1.0}, r"ema_decay must be in \(0, 1\) or none, got 1.0"),
    ],
)
def test_impossible_option_is_refused(options, message):
    with pytest.raises(RecipeError, match=message):
        StaticRecipe(**options)


def test_facts_name_the_members():
    assert StaticRecipe().facts()["Members"] == "cifar_resnet8, cifar_resnet20, cifar_resnet32, from scratch"
