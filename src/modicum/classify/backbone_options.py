"""The options of recipes whose backbone may start from pretrained weights; no torch here, as in recipes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Protocol

from modicum.classify.recipe import ClassifierRecipe, settle
from modicum.nn.weight_names import PUBLISHED, check_weights
from modicum.training.recipe import OptimizerOptions, require

START_OPTIONS = ("weights", "trunk")
"""Options of the start that the help of such systems begins with, beside the backbone."""
TRUNK = "trunk"
"""Name of the part of a backbone before its head, in `OptimizerOptions.part_rates`; at rate 0 it does not learn."""
REFUSED: Mapping[str, str] = {
    "pretrained": "pretrained was replaced by weights: published (what true meant), lite0, lite1, lite2, or a file",
}
"""Options that recipes with a backbone once had, and what to write instead."""


class BackboneRecipe(ClassifierRecipe, Protocol):
    """Declares the options of a recipe whose backbone may start from pretrained weights."""

    @property
    def backbone(self) -> str:
        """Name of the backbone."""

    @property
    def weights(self) -> str | None:
        """Source of its first weights: a file, "lite0" to "lite2", "published", or None for random ones."""

    @property
    def trunk(self) -> Literal["tuned", "frozen"]:
        """Whether what precedes the head learns, where weights are given."""

    @property
    def trunk_rate(self) -> float:
        """Learning rate of the trunk as a share of the head's, where weights are given."""


class TrunkOptions(Protocol):
    """Declares how a recipe treats what its weights filled."""

    @property
    def trunk(self) -> Literal["tuned", "frozen"]:
        """Whether what precedes the head learns."""

    @property
    def trunk_rate(self) -> float:
        """Learning rate of the trunk as a share of the head's."""


def settle_backbone(recipe: BackboneRecipe) -> None:
    """Checks what recipes with a backbone have, and fills in what they left open; see `settle`.

    Raises:
        RecipeError: If an option is impossible.
    """
    check_weights(recipe.weights, recipe.backbone)
    check_trunk(recipe, has_weights=recipe.weights is not None)
    settle(recipe, weights=recipe.weights)


def check_trunk(recipe: TrunkOptions, *, has_weights: bool) -> None:
    """Checks how a recipe treats the trunk.

    Raises:
        RecipeError: If it freezes random weights, or the rate is not above 0.
    """
    require(recipe.trunk == "tuned" or has_weights, "trunk", '"tuned" where no weights are given', recipe.trunk)
    require(recipe.trunk_rate > 0, "trunk_rate", 'above 0 (trunk "frozen" holds it still)', recipe.trunk_rate)


def rates_of_trunk(recipe: TrunkOptions, *, has_weights: bool) -> dict[str, float]:
    """Returns the ``part_rates`` of an optimiser: none where the trunk learns as fast as the head."""
    if recipe.trunk == "frozen":
        return {TRUNK: 0.0}
    return {TRUNK: recipe.trunk_rate} if has_weights and recipe.trunk_rate != 1 else {}


def with_frozen_trunk(options: OptimizerOptions, recipe: BackboneRecipe) -> OptimizerOptions:
    """Returns optimiser options for a stage whose rates suit a trained network: its trunk is frozen, or as the rest."""
    return with_trunk(options, recipe) if recipe.trunk == "frozen" else options


def with_trunk(options: OptimizerOptions, recipe: BackboneRecipe) -> OptimizerOptions:
    """Returns optimiser options in which the trunk has the rate that the recipe gives it."""
    rates = rates_of_trunk(recipe, has_weights=recipe.weights is not None)
    return replace(options, part_rates={**options.part_rates, **rates})


def without_pretrained(options: Mapping[str, Any], *, of_run: bool) -> dict[str, Any]:
    """Replaces the former option ``pretrained``: in runs by ``weights``, in other recipes only where it was off."""
    found = dict(options)
    if found.get("pretrained") is False:
        del found["pretrained"]
    elif of_run and found.pop("pretrained", False):
        found["weights"] = PUBLISHED
    return found
