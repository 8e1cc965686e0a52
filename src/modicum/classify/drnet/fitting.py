"""From a recipe to a trained DRNet in a run folder: the stages in order, and the baselines."""

import copy
import logging
from collections.abc import Callable
from dataclasses import asdict, replace

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_only
from sklearn.model_selection import StratifiedKFold
from torch import Tensor, nn

from modicum.adaptive.curve import Point, bootstrap_interval
from modicum.adaptive.evidence import tabulate
from modicum.classify.backbones import create_backbone
from modicum.classify.drnet.losses import cheapest_correct
from modicum.classify.drnet.network import DRNet
from modicum.classify.drnet.recipe import DRNetRecipe
from modicum.classify.drnet.training import (
    JointStage,
    MultiResolutionStage,
    PlainStage,
    WarmStartStage,
    reestimate_statistics,
    target_cost,
)
from modicum.classify.preparation import EVALUATION_BATCH, LabelledImages, PreparedData, prepare
from modicum.storage.files import write_json
from modicum.storage.runs import RunFolder
from modicum.storage.weights import save_network
from modicum.training.devices import inference_device
from modicum.training.recipe import Schedule
from modicum.training.stages import Loaders, Stage, derive_seed, fit_stage

log = logging.getLogger(__name__)

STATISTICS_IMAGES = 20_000  # training images that the batch statistics are re-estimated on, at most


def fit(recipe: DRNetRecipe, run: RunFolder) -> DRNet:
    """Trains a DRNet, leaving weights, splits, logs and baselines in the run folder; goes on where a kill left off.

    Returns:
        The trained network, in evaluation mode, on the CPU.

    Raises:
        DataError: If the data cannot be used.
        RecipeError: If the recipe cannot be followed: an unknown backbone, a budget below the predictor's cost.
    """
    return _Fitting(recipe, run).fit()


class _Fitting:
    """One training: what all its steps need, and the steps in order."""

    def __init__(self, recipe: DRNetRecipe, run: RunFolder) -> None:
        self.recipe, self.run = recipe, run
        self.finished = run.finished_stages() if run.state.exists() else []
        self.device = inference_device(recipe.trainer.accelerator)
        self.data: PreparedData = prepare(recipe.data, recipe.images, recipe.resolutions[0], recipe.seed, run)

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
        network.eval().cpu()
        self._save(network)
        return network

    def _build(self) -> DRNet:
        recipe = self.recipe
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(recipe.seed, "weights"))
            return DRNet(
                recipe.backbone,
                num_classes=len(self.data.source.classes),
                resolutions=recipe.resolutions,
                predictor=recipe.predictor,
                shortcut_norm=recipe.shortcut_norm,
                kernel=recipe.kernel,
                pretrained=recipe.pretrained,
            )

    def _multi_resolution(self, name: str, network: DRNet, train: list[int] | None = None) -> None:
        recipe = self.recipe
        module = MultiResolutionStage(
            network, recipe.optimizer, recipe.multi_resolution_schedule, distillation=recipe.distillation
        )
        self._run_stage(name, module, recipe.multi_resolution_epochs, self.data.loaders(name, train))

    def _joint(self, network: DRNet) -> None:
        module = JointStage(network, self.recipe)
        self._run_stage("joint", module, self.recipe.joint_epochs, self.data.loaders("joint"))
        if self.recipe.statistics == "reestimated":
            indices = self.data.splits.indices(self.data.source, "train")
            generator = torch.Generator().manual_seed(self.recipe.seed)
            chosen = [indices[i] for i in torch.randperm(len(indices), generator=generator)[:STATISTICS_IMAGES]]
            images = (images for images, _ in self.data.evaluate_indices(chosen, self.device))
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
            images = self.data.evaluate_indices([indices[i] for i in fold], self.device)
            hits = tabulate(judge.eval(), images, judge.costs).top1
            targets[torch.from_numpy(fold)] = cheapest_correct(hits, torch.tensor(judge.costs.per_route))
        module = WarmStartStage(network, targets, self.recipe.optimizer, Schedule("one_cycle"))
        self._run_stage("warm_start", module, self.recipe.warm_start_epochs, self.data.loaders("warm_start"))

    def _baselines(self, static: DRNet) -> None:
        """Trains and tests, for as many epochs as the DRNet: a plain network, and every fixed resolution."""
        recipe = self.recipe
        optimizer = replace(recipe.optimizer, learning_rate=recipe.optimizer.learning_rate * recipe.joint_rate)
        module = MultiResolutionStage(static, optimizer, recipe.joint_schedule, distillation=recipe.distillation)
        self._run_stage("static", module, recipe.joint_epochs, self.data.loaders("static"))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(recipe.seed, "weights"))
            plain = create_backbone(recipe.backbone, len(self.data.source.classes), pretrained=recipe.pretrained)
        schedule = recipe.multi_resolution_schedule
        epochs = recipe.multi_resolution_epochs + recipe.joint_epochs
        self._run_stage("plain", PlainStage(plain, recipe.optimizer, schedule), epochs, self.data.loaders("plain"))
        self._test_baselines(plain.eval(), static)

    @rank_zero_only
    def _test_baselines(self, plain: nn.Module, static: DRNet) -> None:
        test = self.data.evaluate_on("test", self.device)
        points = [_test_point("plain network", plain, test, static.costs.plain)]
        for index, side in enumerate(static.resolutions):
            point = _test_point(
                f"always {side} px, no predictor", static.static(index).eval(), test, static.costs.per_route[index]
            )
            points.append(point)
        write_json(self.run.baselines, [asdict(point) for point in points])

    def _run_stage(self, name: str, module: LightningModule, epochs: int, loaders: Loaders) -> None:
        stage = Stage(name, module, loaders, epochs, "val/accuracy", self.recipe.ema_decay)
        fit_stage(stage, self.run, self.recipe.trainer, self.recipe.seed, finished=name in self.finished)
        module.to(self.device)
        self._mark_finished(name)

    @rank_zero_only
    def _mark_finished(self, stage: str) -> None:
        if stage not in self.finished:
            self.run.mark_finished(stage)

    @rank_zero_only
    def _save(self, network: DRNet) -> None:
        save_network(self.run.weights, network, notes={"classes": list(self.data.source.classes)})


@torch.inference_mode()
def _test_point(label: str, network: Callable[[Tensor], Tensor], batches: LabelledImages, cost: float) -> Point:
    hits = torch.cat([network(images).argmax(dim=1) == labels for images, labels in batches])
    low, high = bootstrap_interval(hits)
    return Point(label, cost, float(hits.double().mean()), low, high)
