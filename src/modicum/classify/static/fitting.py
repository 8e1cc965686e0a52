"""From a recipe to a trained static family in a run folder: one stage per member."""

from torch import nn

from modicum.classify.backbones import SmallResNet, create_backbone
from modicum.classify.fitting import ClassifierFitting
from modicum.classify.pretrained import load_cifar_weights
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
    fitting = ClassifierFitting(recipe, run, planned_epochs(recipe))
    network = _build(recipe, fitting)
    check_budget(network, recipe.budget)  # refuses an impossible budget before hours of work
    if not recipe.weights:
        members = dict(zip(network.names, network.networks, strict=True))
        for name in recipe.members:
            fitting.run_plain_stage(name, members[name], recipe.epochs, recipe.optimizer, recipe.schedule)
    network.to(fitting.device)
    fitting.write_plain_baseline(network.networks[0], network.costs.plain)
    return fitting.finish(network)


def planned_epochs(recipe: StaticRecipe) -> dict[str, int]:
    """Returns the epochs of each training stage, in the order of the stages."""
    return {} if recipe.weights else dict.fromkeys(recipe.members, recipe.epochs)


def check_budget(network: StaticFamily, budget: float) -> None:
    """Refuses a budget that no member meets.

    Raises:
        RecipeError: If the cheapest member costs more than ``budget``, a share of the most expensive one's cost.
    """
    least = network.policy.relative_costs[-1]
    if budget < least:
        raise RecipeError(
            f"budget {budget:g} is out of reach: the cheapest member, {network.names[-1]}, takes {least:.3g} of the "
            "dearest one's multiply-adds; raise the budget or add a cheaper member"
        )


def _build(recipe: StaticRecipe, fitting: ClassifierFitting) -> StaticFamily:
    members = {}
    for name in recipe.members:
        with fitting.seeded(f"weights of {name}"):  # so that a member does not depend on the others
            members[name] = create_backbone(name, fitting.num_classes)
    for name, weights in zip(recipe.members, recipe.weights, strict=False):  # there may be none
        _fill(name, members[name], weights)
    try:
        return StaticFamily(members, num_classes=fitting.num_classes, image_px=recipe.image_px)
    except ValueError as error:
        raise RecipeError(f"members: {error}") from error


def _fill(name: str, member: nn.Module, weights: str) -> None:
    if not isinstance(member, SmallResNet):
        raise RecipeError(f"weights: only CIFAR ResNets (cifar_resnet20, ...) can be given as files, got {name}")
    load_cifar_weights(member, weights)
