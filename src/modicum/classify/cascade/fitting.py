"""Makes a cascade by a recipe, in a run folder: features, heads, temperatures, menu, thresholds, baselines."""

# N training images, V views of each, C candidates (sizes x exits), K classes
import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from modicum.adaptive.cascades import NestedThresholds
from modicum.adaptive.exits import FrozenTable
from modicum.classify.cascade.features import FeatureStore
from modicum.classify.cascade.heads import Standardised, fit_head, make_folds, out_of_fold
from modicum.classify.cascade.member_fitting import fit_members
from modicum.classify.cascade.menu import Plan, choose_cascade
from modicum.classify.cascade.network import Step, TrunkCascade, WholeTrunk, name_step, price_steps, price_trunk
from modicum.classify.cascade.recipe import CascadeRecipe
from modicum.classify.cascade.training import SizesStage
from modicum.classify.cascade.trunk import cut_trunk, feature_widths
from modicum.classify.confidence import fit_temperatures
from modicum.classify.evidence import Baseline, judge_hits
from modicum.classify.exiting import ExitingClassifier
from modicum.classify.fitting import ClassifierFitting
from modicum.classify.pretrained import Start, read_start
from modicum.datasets.sources import Part
from modicum.nn.pretrained import digest_of
from modicum.storage.runs import RunFolder
from modicum.training.logs import JsonLinesLogger
from modicum.training.progress import Countdown

HEADS = "heads"  # of the log: a row for each size and exit, with its accuracy on images that it was not fitted on

log = logging.getLogger(__name__)


def fit(recipe: CascadeRecipe, run: RunFolder) -> ExitingClassifier:
    """Trains a cascade, leaving weights, splits and baselines in the run folder; goes on where a kill left off.

    With members, nothing is trained: see `modicum.classify.cascade.member_fitting.fit_members`.

    Returns:
        The network, in evaluation mode, on the CPU.

    Raises:
        DataError: If the data cannot be used, or a class has a single training image.
        RecipeError: If the backbone is unknown or cannot be cut, or a budget is below the cheapest step.
        WeightsError: If the pretrained weights cannot be had or do not fit.
    """
    if recipe.members:
        return fit_members(recipe, run)
    start = read_start(recipe.backbone, recipe.weights)  # before images are read
    return _CascadeFitting(recipe, run, start).fit()


def planned_epochs(recipe: CascadeRecipe) -> dict[str, int]:
    """Returns the epochs of each training stage: a frozen trunk has none."""
    return {"trunk": recipe.epochs} if recipe.trunk == "tuned" and not recipe.members else {}


@dataclass(frozen=True)
class Candidates:
    """Holds every size and exit that may become a step.

    Attributes:
        steps: C of them, in rising order.
        heads: Of each.
        logits: Shape (N, C, K): out of fold, of the training images.
    """

    steps: tuple[Step, ...]
    heads: tuple[nn.Linear, ...]
    logits: Tensor


class _CascadeFitting:
    """One training of a cascade: its steps in order."""

    def __init__(self, recipe: CascadeRecipe, run: RunFolder, start: Start) -> None:
        self.recipe = recipe
        self.fitting = ClassifierFitting(recipe, run, planned_epochs(recipe), starts=[start])
        self.data, self.num_classes = self.fitting.data, self.fitting.num_classes
        with self.fitting.seeded():
            backbone = start.create(self.num_classes)
        self.trunk = cut_trunk(backbone, recipe.exits, recipe.backbone)
        self.widths = feature_widths(self.trunk, recipe.image_px)
        self.prices = price_trunk(self.trunk, recipe.sizes_px, self.num_classes)
        if recipe.trunk == "tuned":
            self._tune_trunk()
        self.trunk.eval().to(self.fitting.device)
        self.store = FeatureStore(
            run.path / "features", self.trunk, recipe.sizes_px, self._digest(), flip=recipe.flip_views
        )

    def fit(self) -> TrunkCascade:
        labels = self.data.labels("train")
        folds = make_folds(labels, self.data.source.classes, self.recipe.folds, self.recipe.seed)
        candidates = self._fit_candidates(labels, folds)
        temperatures = fit_temperatures(candidates.logits, labels)
        plan = self._plan(candidates, temperatures, labels)
        network = self._build(candidates, temperatures, plan)
        self._write_baselines(candidates)
        self.fitting.finish(network)
        self.store.remove()
        return network

    def _tune_trunk(self) -> None:
        recipe = self.recipe
        with self.fitting.seeded("tuning"):
            network = WholeTrunk(self.trunk, nn.Linear(sum(self.widths), self.num_classes))
        options = replace(recipe.optimizer.general(), part_rates={"trunk": recipe.trunk_rate})
        stage = SizesStage(network, recipe.sizes_px, options, recipe.schedule)
        self.fitting.run_stage("trunk", stage, recipe.epochs)

    def _fit_candidates(self, labels: Tensor, folds: Sequence[Tensor]) -> Candidates:
        features = self._features("train")
        views = next(iter(features.values())).shape[1]
        steps = tuple(Step(size, exit_) for size in self.recipe.sizes_px for exit_ in range(self.recipe.exits))
        heads, logits, repeated = [], [], labels.repeat_interleave(views)
        countdown = Countdown("heads", len(steps), log.info)
        told = JsonLinesLogger(self.fitting.run.metrics, HEADS, step=0)
        # All views of an image are fitted on or judged together; it is judged by its first, which is as it is.
        seen = [torch.cat([fold * views + view for view in range(views)]) for fold in folds]
        for number, step in enumerate(steps):
            rows = self._read_by(step, features).flatten(0, 1)
            known = Standardised.of(torch.split(rows, list(self.widths[: step.exit + 1]), dim=1))
            heads.append(fit_head(known, repeated, self.num_classes, self.recipe.penalty))
            judged = out_of_fold(known, repeated, self.num_classes, self.recipe.penalty, seen)
            logits.append(judged[::views])
            right = float((logits[-1].argmax(dim=1) == labels).double().mean())
            told.log_metrics(
                {"size_px": step.size_px, "stages": self.trunk.stages[step.exit], "out_of_fold": right}, number
            )
            countdown.advance()
        return Candidates(steps, tuple(heads), torch.stack(logits, dim=1))

    def _plan(self, candidates: Candidates, temperatures: Tensor, labels: Tensor) -> Plan:
        probabilities = (candidates.logits / temperatures[:, None]).softmax(dim=2)
        whole = sum(self.prices[candidates.steps[-1]])

        def price(menu: Sequence[int]) -> Tensor:
            costs = price_steps([candidates.steps[place] for place in menu], self.prices)
            return torch.tensor(costs, dtype=torch.float64) / whole

        menus = list(_menus(candidates.steps, self.recipe.steps, self.recipe.exits - 1))
        plan = choose_cascade(
            probabilities,
            labels,
            menus,
            price,
            answers=self.recipe.answers,
            confidence=self.recipe.confidence,
            budget=self.recipe.budget,
        )
        chosen = ", ".join(name_step(candidates.steps[place], self.trunk) for place in plan.members)
        log.info("of %d cascades, the best for %g of the cost: %s", len(menus), self.recipe.budget, chosen)
        return plan

    def _build(self, candidates: Candidates, temperatures: Tensor, plan: Plan) -> TrunkCascade:
        recipe, members = self.recipe, list(plan.members)
        network = TrunkCascade(
            recipe.backbone,
            [candidates.steps[place] for place in members],
            num_classes=self.num_classes,
            image_px=recipe.image_px,
            num_exits=recipe.exits,
            average=plan.average,
            confidence=recipe.confidence,
            trunk=self.trunk,
        )
        network.heads = nn.ModuleList(candidates.heads[place] for place in members)
        network.plain_head = candidates.heads[-1]
        network.temperatures = FrozenTable(temperatures[members])
        network.policy = NestedThresholds(plan.tradeoff.thresholds)
        return network.to(self.fitting.device)

    def _write_baselines(self, candidates: Candidates) -> None:
        """Keeps the results of every size and exit alone on the test images."""
        labels, features = self.data.labels("test"), self._features("test")

        @torch.inference_mode()
        def measure() -> Sequence[Baseline]:
            points = []
            for step, head in zip(candidates.steps, candidates.heads, strict=True):
                rows = self._read_by(step, features)[:, 0]
                name = "plain network" if step == candidates.steps[-1] else name_step(step, self.trunk)
                points.append(Baseline.of(name, judge_hits(head(rows), labels), sum(self.prices[step])))
            return points

        self.fitting.write_baselines(measure)

    def _read_by(self, step: Step, features: Mapping[int, Tensor]) -> Tensor:
        """Returns the features (n, V, D) that the head of a step reads: those of all exits up to its own."""
        return features[step.size_px][:, :, : sum(self.widths[: step.exit + 1])]

    def _features(self, part: Part) -> dict[int, Tensor]:
        """Returns the features of a part of the images at each size, (n, V, D)."""
        indices = self.data.splits.indices(self.data.source, part)

        def batches(places: Sequence[int]) -> Iterable[Tensor]:
            chosen = [indices[place] for place in places]
            return (images for images, _ in self.data.evaluate_indices(chosen, self.fitting.device))

        return self.store.features([self.data.source.records[index].id for index in indices], batches)

    def _digest(self) -> str:
        """Returns a digest of all that the features depend on beside the images."""
        return f"{self.data.preprocessing} {self.recipe.exits} {digest_of(self.trunk.state_dict())}"


def _menus(steps: Sequence[Step], most: int, last_exit: int) -> Iterable[tuple[int, ...]]:
    """Yields the menus that may be chosen: their last step runs the whole trunk, whose answers are the best."""
    for length in range(1, most + 1):
        for menu in itertools.combinations(range(len(steps)), length):
            if steps[menu[-1]].exit == last_exit:
                yield menu
