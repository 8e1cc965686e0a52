"""From a recipe to a trained BlockDrop in a run folder: the stages in order, and the baselines, tuned alike."""

# U droppable blocks
import copy
import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from modicum.adaptive.calibration import bisect_knob
from modicum.adaptive.evidence import score
from modicum.classify.backbone_options import with_trunk
from modicum.classify.blockdrop.losses import free_blocks
from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.blockdrop.policies import start_from_resnet18
from modicum.classify.blockdrop.recipe import BlockDropRecipe
from modicum.classify.blockdrop.stochastic_depth import BaseStage
from modicum.classify.blockdrop.training import GateStage, JointStage, PolicyStage, StaticStage, target_cost
from modicum.classify.evidence import Baseline
from modicum.classify.fitting import ClassifierFitting
from modicum.classify.plain import PlainStage
from modicum.classify.pretrained import read_start
from modicum.datasets.loaders import derive_seed
from modicum.nn.pretrained import PretrainedWeights, read_pretrained
from modicum.nn.weight_names import PUBLISHED
from modicum.storage.errors import RecipeError
from modicum.storage.runs import RunFolder
from modicum.training.stages import Loaders

log = logging.getLogger(__name__)

POLICY_START = "resnet18"  # of torchvision, of which the policy "resnet10" has half the blocks


def fit(recipe: BlockDropRecipe, run: RunFolder) -> BlockDrop:
    """Trains a BlockDrop, leaving weights, splits, logs and baselines in the run folder; goes on after a kill.

    Returns:
        The trained network, in evaluation mode, on the CPU.

    Raises:
        DataError: If the data cannot be used.
        WeightsError: If given weights cannot be read or do not fit.
        RecipeError: If the recipe cannot be followed: an unknown backbone or one without droppable blocks, nothing to
            start from, a budget below what always runs.
    """
    return _BlockDropFitting(recipe, run).fit()


class _BlockDropFitting:
    """One training of a BlockDrop: its stages in order."""

    def __init__(self, recipe: BlockDropRecipe, run: RunFolder) -> None:
        check_start(recipe, is_trained=recipe.weights is not None)  # before all images are looked at
        self.start = read_start(recipe.backbone, recipe.weights)
        self.policy_start = read_policy_start(recipe)
        self.optimizer = with_trunk(recipe.optimizer.general(), recipe)
        self.recipe, self.fitting = recipe, ClassifierFitting(recipe, run, {}, starts=[self.start])
        self.is_trained = self.start.is_trained(self.fitting.num_classes)
        check_start(recipe, is_trained=self.is_trained)
        self.fitting.plan_stages(planned_epochs(recipe, is_trained=self.is_trained))

    def fit(self) -> BlockDrop:
        recipe = self.recipe
        network = self._build()
        target_cost(network, recipe.budget)  # refuses an impossible budget before hours of work
        warn_of_short_curriculum(recipe, len(network.blocks))
        given = network.plain_network() if self.is_trained else None
        if recipe.base_epochs:
            module = (
                BaseStage(network, recipe, given if recipe.distillation else None)
                if recipe.base_drop
                else PlainStage(network.backbone, self.optimizer, recipe.schedule)
            )
            self.fitting.run_stage("base", module, recipe.base_epochs, self._loaders("base", None))
        network.to(self.fitting.device)
        plain = network.plain_network()
        teacher = (given or plain) if recipe.distillation else None
        base = copy.deepcopy(network)
        self._learn(network, teacher)
        network.eval()
        if recipe.baselines:
            self._baselines(base, network, (plain, given), teacher)
        return self.fitting.finish(network)

    def _build(self) -> BlockDrop:
        recipe = self.recipe
        with self.fitting.seeded():
            try:
                network = BlockDrop(
                    recipe.backbone,
                    num_classes=self.fitting.num_classes,
                    image_px=recipe.image_px,
                    policy=recipe.policy,
                    loaded_backbone=self.start.create(self.fitting.num_classes),
                )
            except RecipeError:
                raise
            except ValueError as error:
                raise RecipeError(f"backbone: {error}") from error
        if self.policy_start is not None:
            start_from_resnet18(network.policy_network, self.policy_start.state)
        return network

    def _learn(self, network: BlockDrop, teacher: nn.Module | None) -> None:
        """Stages 1 and 2; see `_ends_with` for the weights that each ends with."""
        recipe = self.recipe
        for name, epochs, batch_size in (
            ("policy", recipe.policy_epochs, recipe.policy_batch_size),
            ("joint", recipe.joint_epochs, recipe.joint_batch_size),
        ):
            module = self._stage(network, teacher, tune_backbone=name == "joint")
            self.fitting.run_stage(
                name,
                module,
                epochs,
                self._loaders(name, batch_size),
                "val/reward",
                self._ends_with,
                loss_falls=recipe.method != "reinforce",
            )

    @property
    def _ends_with(self) -> Literal["last", "best"]:
        """Whose weights stages 1 and 2 end with, and the tuned baselines, which are selected alike.

        Those of the best epoch on the calibration part, by the reward, for a baseline by accuracy. With method "gates"
        those of the last, because the reward knows nothing of the budget that they learn.
        """
        return "best" if self.recipe.method == "reinforce" else "last"

    def _stage(self, network: BlockDrop, teacher: nn.Module | None, *, tune_backbone: bool) -> LightningModule:
        if self.recipe.method == "gates":
            return GateStage(network, self.recipe, tune_backbone=tune_backbone, teacher=teacher)
        return JointStage(network, self.recipe, teacher) if tune_backbone else PolicyStage(network, self.recipe)

    def _baselines(
        self,
        base: BlockDrop,
        network: BlockDrop,
        untouched: tuple[nn.Module, nn.Module | None],
        teacher: nn.Module | None,
    ) -> None:
        """Tunes and tests, for as long as stage 2, networks that keep the same blocks for every image.

        Tested beside them are plain networks that no tuning has touched, see `_references`.
        """
        routes = self._calibration_routes(network)
        keeps = static_choices(routes, self.recipe.seed)
        tuned = {}
        for name, keep in keeps.items():
            tuned[name] = base.static(keep)
            module = StaticStage(tuned[name], self.recipe, teacher)
            loaders = self._loaders(name, self.recipe.joint_batch_size)
            self.fitting.run_stage(name, module, self.recipe.joint_epochs, loaders, ends_with=self._ends_with)
        references = self._references(*untouched)

        def measure() -> Sequence[Baseline]:
            costs, num_blocks = base.costs, routes.shape[1]
            points = []
            for name, keep in keeps.items():
                kept = int(keep.sum())
                label = _LABELS[name] if kept == num_blocks else f"{_LABELS[name]} ({kept} of {num_blocks})"
                cost = float(costs.of(keep[None])) - costs.decision
                points.append(self.fitting.test_point(label, tuned[name].eval(), cost))
            for label, plain in references.items():
                points.append(self.fitting.test_point(label, plain.to(self.fitting.device).eval(), costs.plain))
            return points

        self.fitting.write_baselines(measure)

    def _references(self, plain: nn.Module, given: nn.Module | None) -> dict[str, nn.Module]:
        """Returns the plain networks, by label, against which a loss of accuracy is measured.

        A base that has learnt to do without blocks is not a fair baseline: with all its blocks it may have become less
        accurate. So there is also the given network or, if none was given, one trained the ordinary way.
        """
        recipe = self.recipe
        references = {} if given is None else {"plain network, as given": given}
        if recipe.base_epochs:
            references["plain network after the base stage"] = plain
        if given is None and recipe.base_drop:
            with self.fitting.seeded():
                ordinary = self.start.create(self.fitting.num_classes)
            module = PlainStage(ordinary, self.optimizer, recipe.schedule)
            epochs = recipe.base_epochs + recipe.joint_epochs
            self.fitting.run_stage("ordinary", module, epochs, self._loaders("ordinary", None))
            references["plain network, trained the ordinary way"] = ordinary
        return references

    def _calibration_routes(self, network: BlockDrop) -> Tensor:
        """Returns the decisions (N, U) on the calibration images at the recipe's budget, which the report shows."""
        data, policy, costs = self.fitting.data, network.policy, network.costs
        network.eval()
        evaluate = data.evaluate_on("calibration", self.fitting.device)
        scores = score(network, evaluate, data.splits.calibration).scores  # (N, U)

        def mean_cost(knob: float) -> float:
            return float(costs.of(policy.decide(scores, knob)).mean())

        knob = bisect_knob(mean_cost, self.recipe.budget * costs.plain, policy.knob_range(scores))
        return policy.decide(scores, knob)

    def _loaders(self, stage: str, batch_size: int | None) -> Loaders:
        """Returns the data of a stage in batches of its size; if the recipe says so, each epoch draws its images."""
        data, recipe = self.fitting.data, self.recipe
        options = replace(recipe.images, batch_size=batch_size or recipe.images.batch_size)
        data = replace(data, options=options)
        whole = data.loaders(stage)
        count = recipe.images_per_epoch
        indices = data.splits.indices(data.source, "train")
        if count is None or count >= len(indices):
            return whole

        def train(epoch: int, rank: int, world_size: int) -> object:
            generator = torch.Generator().manual_seed(derive_seed(recipe.seed, stage, "images", epoch))
            chosen = torch.randperm(len(indices), generator=generator)[:count].tolist()
            return data.loaders(stage, [indices[i] for i in chosen]).train(epoch, rank, world_size)

        return Loaders(train, whole.validation)  # type: ignore[arg-type]  # what `Loaders.train` gives


_LABELS = {
    "plain": "plain network",
    "most_frequent": "most frequent policy for all",
    "first": "first blocks",
    "random": "random blocks",
}


def static_choices(routes: Tensor, seed: int) -> dict[str, Tensor]:
    """Keep-vectors (U,), bool, to hold a policy against: all blocks, its most frequent choice, first and random ones.

    The latter two keep as many as the policy does on average, rounded.

    Args:
        routes: Keep-vectors (N, U) that the policy chose, N at least 1.
        seed: Of the random choice.
    """
    num_blocks = routes.shape[1]
    mean_kept = round(float(routes.sum(dim=1).double().mean()))
    policies, counts = torch.unique(routes, dim=0, return_counts=True)
    generator = torch.Generator().manual_seed(derive_seed(seed, "random blocks"))
    ranks = torch.randperm(num_blocks, generator=generator)
    return {
        "plain": torch.ones(num_blocks, dtype=torch.bool),
        "most_frequent": policies[counts.argmax()],
        "first": torch.arange(num_blocks) < mean_kept,
        "random": ranks < mean_kept,
    }


def planned_epochs(recipe: BlockDropRecipe, *, is_trained: bool = False) -> dict[str, int]:
    """Returns the epochs of each training stage, in the order of the stages; see `check_start`."""
    joint = recipe.joint_epochs
    epochs = {"base": recipe.base_epochs} if recipe.base_epochs else {}
    epochs |= {"policy": recipe.policy_epochs, "joint": joint}
    if recipe.baselines:
        epochs |= dict.fromkeys(_LABELS, joint)
    if recipe.baselines and recipe.base_drop and not is_trained:
        epochs["ordinary"] = recipe.base_epochs + joint
    return epochs


def check_start(recipe: BlockDropRecipe, *, is_trained: bool) -> None:
    """Refuses a recipe that gives the policy nothing to choose from but random weights, or no teacher to learn from.

    Args:
        recipe: Its recipe.
        is_trained: Whether the backbone is a trained classifier of these data before any stage: its weights are given,
            and bring a head for as many classes.

    Raises:
        RecipeError: If the backbone is neither trained nor given, or distillation is asked for without a full network
            to learn from.
    """
    if recipe.distillation and recipe.base_drop and not is_trained:
        raise RecipeError(
            f"distillation {recipe.distillation:g} learns from a backbone that was trained in full: give weights with "
            "a head for the classes of the data, or choose base_drop 0"
        )
    if not recipe.base_epochs and not is_trained:
        raise RecipeError(
            "base_epochs is 0, so a trained backbone must be given: pass weights with a head for the classes of the "
            "data, or raise base_epochs"
        )


def read_policy_start(recipe: BlockDropRecipe) -> PretrainedWeights | None:
    """Reads the ResNet-18 that the policy "resnet10" starts from, as published; None where it starts untrained.

    Raises:
        WeightsError: If its published weights cannot be fetched.
    """
    is_known = recipe.weights == PUBLISHED or (recipe.weights is not None and recipe.backbone == POLICY_START)
    if recipe.policy != "resnet10" or recipe.weights is None or not is_known:
        return None
    found = read_pretrained(recipe.weights, POLICY_START)
    log.info("the policy starts from %s of %s", found.source, POLICY_START)
    return found


def warn_of_short_curriculum(recipe: BlockDropRecipe, num_blocks: int) -> None:
    """Logs a warning where stage 1 ends before its curriculum has freed all blocks."""
    free = int(free_blocks(num_blocks, recipe.policy_epochs - 1, recipe.epochs_per_block).sum())
    if recipe.method == "reinforce" and free < num_blocks:
        enough = math.floor((num_blocks - 1) * recipe.epochs_per_block) + 1
        log.warning(
            "policy_epochs %d leave the curriculum unfinished: with epochs_per_block %g it frees %d of %d blocks, and "
            "the policy drops the others untaught; %d epochs would free all",
            recipe.policy_epochs,
            recipe.epochs_per_block,
            free,
            num_blocks,
            enough,
        )
