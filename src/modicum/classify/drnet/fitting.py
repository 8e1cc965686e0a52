"""From a recipe to a trained DRNet in a run folder: the stages in order, and the baselines."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from sklearn.model_selection import StratifiedKFold
from torch import nn

from modicum.classify.backbone_options import with_trunk
from modicum.classify.drnet.exiting import ExitingDRNet, name_alone
from modicum.classify.drnet.losses import cheapest_correct
from modicum.classify.drnet.network import DRNet
from modicum.classify.drnet.recipe import DRNetRecipe
from modicum.classify.drnet.refitting import fit_steps
from modicum.classify.drnet.training import (
    JointStage,
    MultiResolutionStage,
    WarmStartStage,
    reestimate_statistics,
    target_cost,
)
from modicum.classify.evidence import Baseline, tabulate_answers
from modicum.classify.fitting import ClassifierFitting
from modicum.classify.plain import PlainStage
from modicum.classify.preparation import EVALUATION_BATCH
from modicum.classify.pretrained import read_start
from modicum.storage.errors import RecipeError
from modicum.storage.runs import RunFolder
from modicum.training.recipe import Schedule

STATISTICS_IMAGES = 20_000  # training images that the batch statistics are re-estimated on, at most


def fit(recipe: DRNetRecipe, run: RunFolder) -> DRNet | ExitingDRNet:
    """Trains a DRNet, leaving weights, splits, logs and baselines in the run folder; goes on where a kill left off.

    Returns:
        The trained network, in evaluation mode, on the CPU.

    Raises:
        DataError: If the data cannot be used.
        RecipeError: If the recipe cannot be followed: an unknown backbone, a budget below the cheapest route.
        WeightsError: If given weights cannot be had or do not fit.
    """
    fitting = _DRNetFitting(recipe, run)
    return fitting.fit() if recipe.decision == "predictor" else fitting.fit_exiting()


def planned_epochs(recipe: DRNetRecipe) -> dict[str, int]:
    """Returns the epochs of each training stage, in the order of the stages."""
    first, joint = recipe.multi_resolution_epochs, recipe.joint_epochs
    epochs = {"multi_resolution": first}
    if recipe.decision == "confidence":
        return epochs | ({"plain": first} if recipe.baselines else {})
    if recipe.warm_start_epochs:
        epochs |= {f"fold{number}": first for number in range(recipe.warm_start_folds)}
        epochs["warm_start"] = recipe.warm_start_epochs
    epochs["joint"] = joint
    return epochs | ({"static": joint, "plain": first + joint} if recipe.baselines else {})


class _DRNetFitting:
    """One training of a DRNet: its stages in order."""

    def __init__(self, recipe: DRNetRecipe, run: RunFolder) -> None:
        self.start = read_start(recipe.backbone, recipe.weights)  # before all images are looked at
        self.recipe, self.fitting = recipe, ClassifierFitting(recipe, run, planned_epochs(recipe), starts=[self.start])
        self.optimizer = with_trunk(recipe.optimizer.general(), recipe)
        self.data = self.fitting.data

    def fit(self) -> DRNet:
        network = self._build()
        target_cost(network, self.recipe.budget)  # refuses an impossible budget before hours of work
        self._multi_resolution("multi_resolution", network)
        static = copy.deepcopy(network)
        if self.recipe.warm_start_epochs:
            self._warm_start(network)
        self._joint(network)
        if self.recipe.baselines:
            self._baselines(static)
        return self.fitting.finish(network)

    def fit_exiting(self) -> ExitingDRNet:
        recipe = self.recipe
        network = self._build_exiting()
        check_budget(network, recipe.budget)  # before hours of work
        self._multi_resolution("multi_resolution", network)
        network.eval()
        fit_steps(network, self.fitting.calibration_images())
        plain = self._train_plain(recipe.multi_resolution_epochs) if recipe.baselines else None
        points = {} if plain is None else {"plain network": (plain, network.macs[0])}
        for index, (side, macs) in enumerate(zip(network.resolutions, network.macs, strict=True)):
            points[name_alone(side)] = network.static(index), macs  # nothing more is trained for these
        self._write_baselines(points)
        return self.fitting.finish(network)

    def _build_exiting(self) -> ExitingDRNet:
        recipe = self.recipe
        with self.fitting.seeded():
            return ExitingDRNet(
                recipe.backbone,
                num_classes=self.fitting.num_classes,
                resolutions=recipe.resolutions,
                budget=recipe.budget,
                shortcut_norm=recipe.shortcut_norm,
                kernel=recipe.kernel,
                loaded_backbone=self.start.create(self.fitting.num_classes),
            )

    def _build(self) -> DRNet:
        recipe = self.recipe
        with self.fitting.seeded():
            return DRNet(
                recipe.backbone,
                num_classes=self.fitting.num_classes,
                resolutions=recipe.resolutions,
                predictor=recipe.predictor,
                shortcut_norm=recipe.shortcut_norm,
                kernel=recipe.kernel,
                loaded_backbone=self.start.create(self.fitting.num_classes),
            )

    def _multi_resolution(self, name: str, network: DRNet | ExitingDRNet, train: list[int] | None = None) -> None:
        recipe = self.recipe
        module = MultiResolutionStage(
            network,
            self.optimizer,
            recipe.multi_resolution_schedule,
            distillation=recipe.distillation,
            reduction=recipe.resolution_losses,
        )
        self.fitting.run_stage(name, module, recipe.multi_resolution_epochs, self.data.loaders(name, train))

    def _joint(self, network: DRNet) -> None:
        self.fitting.run_stage("joint", JointStage(network, self.recipe), self.recipe.joint_epochs)
        if self.recipe.statistics == "reestimated":
            indices = self.data.splits.indices(self.data.source, "train")
            generator = torch.Generator().manual_seed(self.recipe.seed)
            chosen = [indices[i] for i in torch.randperm(len(indices), generator=generator)[:STATISTICS_IMAGES]]
            images = (images for images, _ in self.data.evaluate_indices(chosen, self.fitting.device))
            reestimate_statistics(network, images, EVALUATION_BATCH)

    def _warm_start(self, network: DRNet) -> None:
        """Labels every training image by a backbone that has not seen it, then trains the predictor on the labels."""
        indices = self.data.splits.indices(self.data.source, "train")
        labels = [self.data.source.records[index].label for index in indices]
        folds = StratifiedKFold(self.recipe.warm_start_folds, shuffle=True, random_state=self.recipe.seed)
        targets = torch.zeros(len(indices), dtype=torch.int64)
        for number, (others, fold) in enumerate(folds.split(labels, labels)):
            judge = self._build()
            self._multi_resolution(f"fold{number}", judge, [indices[i] for i in others])
            images = self.data.evaluate_indices([indices[i] for i in fold], self.fitting.device)
            hits = tabulate_answers(judge.eval(), images).top1
            targets[torch.from_numpy(fold)] = cheapest_correct(hits, torch.tensor(judge.costs.per_route))
        module = WarmStartStage(network, targets, self.recipe.optimizer.general(), Schedule("one_cycle"))
        self.fitting.run_stage("warm_start", module, self.recipe.warm_start_epochs)

    def _baselines(self, static: DRNet) -> None:
        """Trains and tests, for as many epochs as the DRNet: a plain network, and every fixed resolution."""
        recipe, optimizer = self.recipe, self.optimizer
        module = MultiResolutionStage(
            static,
            replace(optimizer, learning_rate=optimizer.learning_rate * recipe.joint_rate),
            recipe.joint_schedule,
            distillation=recipe.distillation,
            reduction=recipe.resolution_losses,
        )
        self.fitting.run_stage("static", module, recipe.joint_epochs)
        plain = self._train_plain(recipe.multi_resolution_epochs + recipe.joint_epochs)
        points = {"plain network": (plain, static.costs.plain)}
        for index, (side, cost) in enumerate(zip(static.resolutions, static.costs.per_route, strict=True)):
            points[f"always {side} px, no predictor"] = static.static(index), cost
        self._write_baselines(points)

    def _train_plain(self, epochs: int) -> nn.Module:
        with self.fitting.seeded():
            plain = self.start.create(self.fitting.num_classes)
        module = PlainStage(plain, self.optimizer, self.recipe.multi_resolution_schedule)
        self.fitting.run_stage("plain", module, epochs)
        return plain

    def _write_baselines(self, points: Mapping[str, tuple[nn.Module, float]]) -> None:
        """Tests networks without a decision, by name, each with its multiply-adds."""

        def measure() -> Sequence[Baseline]:
            return [self.fitting.test_point(name, network.eval(), macs) for name, (network, macs) in points.items()]

        self.fitting.write_baselines(measure)


def check_budget(network: ExitingDRNet, budget: float) -> None:
    """Refuses a budget that even the smallest resolution alone exceeds.

    Raises:
        RecipeError: If it takes more than the share ``budget`` of the full resolution's multiply-adds.
    """
    least = network.macs[-1] / network.macs[0]
    if budget < least:
        raise RecipeError(
            f"budget {budget:g} is out of reach: the smallest resolution alone costs {least:.3f} of the plain network; "
            "raise it, or add a smaller resolution"
        )
