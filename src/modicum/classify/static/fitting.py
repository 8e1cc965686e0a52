"""From a recipe to a trained static family in a run folder: one stage per member."""

from collections.abc import Sequence
from dataclasses import replace

from modicum.classify.backbone_options import rates_of_trunk
from modicum.classify.fitting import ClassifierFitting
from modicum.classify.pretrained import Start, read_start
from modicum.classify.static.network import StaticFamily
from modicum.classify.static.recipe import StaticRecipe
from modicum.storage.errors import RecipeError
from modicum.storage.runs import RunFolder


def fit(recipe: StaticRecipe, run: RunFolder) -> StaticFamily:
    """Trains every member, leaving weights, splits, logs and the baseline in the run folder; goes on after a kill.

    Returns:
        The trained family, in evaluation mode, on the CPU.

    Raises:
        DataError: If the data cannot be used.
        RecipeError: If the recipe cannot be followed: an unknown member, a budget below the cheapest one's cost.
        WeightsError: If given weights cannot be read or do not fit.
    """
    weights = recipe.weights or (None,) * len(recipe.members)
    starts = [
        read_start(*pair) for pair in zip(recipe.members, weights, strict=True)
    ]  # before all images are looked at
    fitting = ClassifierFitting(recipe, run, planned_epochs(recipe), starts=starts)
    check_trained(recipe, starts, fitting.num_classes)
    network = _build(recipe, fitting)
    check_budget(network, recipe.budget)  # refuses an impossible budget before hours of work
    members = dict(zip(network.names, network.networks, strict=True))
    rates = rates_of_trunk(recipe, has_weights=bool(recipe.weights))
    optimizer = replace(recipe.optimizer.general(), part_rates=rates)
    for name in planned_epochs(recipe):
        fitting.run_plain_stage(name, members[name], recipe.epochs, optimizer, recipe.schedule)
    network.to(fitting.device)
    fitting.write_plain_baseline(network.networks[0], network.costs.plain)
    return fitting.finish(network)


def planned_epochs(recipe: StaticRecipe) -> dict[str, int]:
    """Returns the epochs of each training stage, in the order of the stages."""
    return dict.fromkeys(recipe.members, recipe.epochs) if recipe.epochs else {}


def check_trained(recipe: StaticRecipe, starts: Sequence[Start], num_classes: int) -> None:
    """Refuses members that are neither trained nor given as trained classifiers of the data.

    Raises:
        RecipeError: If ``epochs`` is 0 and the head of a member would be an untrained one.
    """
    untrained = [start.backbone for start in starts if not start.is_trained(num_classes)]
    if not recipe.epochs and untrained:
        raise RecipeError(
            f"epochs is 0, so every member needs weights with a head for {num_classes} classes, but "
            f"{', '.join(untrained)} would have an untrained one: give other weights, or raise epochs"
        )


def check_budget(network: StaticFamily, budget: float) -> None:
    """Refuses a budget that no member meets.

    Raises:
        RecipeError: If the cheapest member costs more than ``budget``, a share of the most expensive one's cost.
    """
    least = network.policy.relative_costs[-1]
    if budget < least:
        raise RecipeError(
            f"budget {budget:g} is out of reach: the cheapest member, {network.names[-1]}, takes {least:.3g} of the "
            "most expensive one's multiply-adds; raise the budget or add a cheaper member"
        )


def _build(recipe: StaticRecipe, fitting: ClassifierFitting) -> StaticFamily:
    members = {}
    for start in fitting.starts:
        with fitting.seeded(f"weights of {start.backbone}"):  # so that a member does not depend on the others
            members[start.backbone] = start.create(fitting.num_classes)
    try:
        return StaticFamily(members, num_classes=fitting.num_classes, image_px=recipe.image_px)
    except ValueError as error:
        raise RecipeError(f"members: {error}") from error
