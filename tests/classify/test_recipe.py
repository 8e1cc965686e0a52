import pytest

from modicum.classify.cascade.recipe import CascadeRecipe
from modicum.recipes import build_recipe
from modicum.storage.errors import RecipeError
from modicum.systems import SYSTEMS

CLASSIFIERS = [system.recipe for system in SYSTEMS.values() if system.wing == "classify"]


def sized(recipe_class, side, **options):
    """A recipe whose network gets ``side`` pixels, with a partial block on its images."""
    weights = {"weights": None} if recipe_class is CascadeRecipe else {}  # which would say how images are normalised
    chosen = (
        {"image_px": side} if "image_px" in recipe_class.__dataclass_fields__ else {"resolutions": [side, side // 2]}
    )
    return build_recipe(recipe_class, chosen | weights | {"images": {"batch_size": 32}} | options).images


@pytest.mark.parametrize("recipe_class", CLASSIFIERS)
def test_partial_images_block_suits_photographs_not_a_published_set(recipe_class):
    images = sized(recipe_class, 128, data="photos")
    short = 128 if recipe_class is CascadeRecipe else None  # a cascade sees whole pictures
    assert (images.crop, images.flip, images.resize_short, images.min_scale) == ("random_resized", True, short, 0.35)
    assert (images.mean, images.calibration_share, images.num_workers) == ((0.485, 0.456, 0.406), 0.15, 0)


@pytest.mark.parametrize("recipe_class", CLASSIFIERS)
def test_partial_images_block_suits_small_digits(recipe_class):
    images = sized(recipe_class, 32)
    assert (images.crop, images.flip) == ("pad", False)


@pytest.mark.parametrize("recipe_class", CLASSIFIERS)
def test_what_a_recipe_states_is_kept(recipe_class):
    images = sized(recipe_class, 32, images={"crop": "none", "flip": True, "resize_short": 40})
    assert (images.crop, images.flip, images.resize_short) == ("none", True, 40)


@pytest.mark.parametrize("recipe_class", CLASSIFIERS)
def test_short_side_below_the_network_s_is_refused_by_name(recipe_class):
    with pytest.raises(RecipeError, match=r"images\.resize_short must be at least image_px, 128, got 32: raise it"):
        sized(recipe_class, 128, images={"resize_short": 32})
