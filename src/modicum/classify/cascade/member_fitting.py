"""Makes a cascade of some of a user's networks, in a run folder; nothing is trained."""

# N images, C candidates, K classes
import hashlib
import itertools
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from modicum.adaptive.cascades import NestedThresholds
from modicum.adaptive.exits import FrozenTable
from modicum.classify.cascade.kept_rows import KeptRows
from modicum.classify.cascade.member_data import check_shares, divide_images, tell_unknown
from modicum.classify.cascade.member_sources import Found, find_members
from modicum.classify.cascade.members import MemberCascade, View, common_format
from modicum.classify.cascade.menu import Plan, choose_cascade
from modicum.classify.cascade.recipe import CascadeRecipe
from modicum.classify.confidence import check_outcomes, fit_temperatures
from modicum.classify.data.opening import open_source
from modicum.classify.data.sources import ImageSource
from modicum.classify.evidence import Baseline, judge_hits
from modicum.classify.fitting import ClassifierFitting
from modicum.datasets.scan import Scan
from modicum.datasets.sources import Part
from modicum.datasets.splits import Splits
from modicum.nn.pretrained import digest_of
from modicum.storage.errors import RecipeError
from modicum.storage.files import dump_json
from modicum.storage.runs import RunFolder

log = logging.getLogger(__name__)

PART = 256  # images whose answers are computed and written together
FAR_BETTER = 4.0  # standard errors by which accuracy on calibration images may exceed that on test images


def fit_members(recipe: CascadeRecipe, run: RunFolder) -> MemberCascade:
    """Chooses a cascade of given networks, leaving weights, splits and baselines in the run folder.

    One half of the calibration images gives temperatures, members and thresholds, and becomes the run's training part;
    the other half remains its calibration part, for the knob. Where the images have no training part, all that are not
    for the test calibrate.

    Returns:
        The network, in evaluation mode, on the CPU.

    Raises:
        DataError: If the data cannot be used, or a member was trained on images that calibrate or test it.
        RecipeError: If a member is unknown or of other classes, or the budget is below the cheapest member.
        WeightsError: If a member cannot be read.
    """
    found = find_members(recipe.members, recipe.images, recipe.image_px)  # before images are read
    return _MemberFitting(recipe, run, found).fit()


class _MemberFitting:
    """The fitting of one cascade: its steps in order."""

    def __init__(self, recipe: CascadeRecipe, run: RunFolder, found: Sequence[Found]) -> None:
        self.recipe, self.run, self.found = recipe, run, found
        self.macs = torch.tensor([each.member.macs for each in found], dtype=torch.float64)
        self._check_budget()
        source = open_source(recipe.data, side=recipe.image_px)
        for each in found:
            each.check_classes(source.classes, source.origin)
        tell_unknown(found)
        self.images = common_format([each.member.images for each in found])
        wanted = replace(
            recipe.images,
            mean=self.images.mean,
            std=self.images.std,
            interpolation=self.images.interpolation,
            resize_short=self.images.short_px,
        )
        settled = replace(recipe, image_px=self.images.size_px, images=wanted)
        if not run.splits.exists():
            check_shares(source, recipe.images)
        self.fitting = ClassifierFitting(settled, run, {}, divide=self._divide)
        self.kept = KeptRows(run.path / "logits", "answers of the members", self._digest(), PART)

    def fit(self) -> MemberCascade:
        logits, labels = self._answers("train")
        check_outcomes(logits, labels, len(self.found), self.fitting.num_classes)
        temperatures = fit_temperatures(logits, labels)
        plan = self._plan((logits / temperatures[:, None]).softmax(dim=2), labels)
        network = self._build(temperatures, plan)
        self._write_baselines((logits.argmax(dim=2) == labels[:, None]).double().mean(dim=0))
        self.fitting.finish(network)
        self.kept.remove()
        return network

    def _check_budget(self) -> None:
        share = float(self.macs[0] / self.macs[-1])
        if share > self.recipe.budget:
            raise RecipeError(
                f"budget {self.recipe.budget:g} of the cost of {self.found[-1].member.name} is below the cheapest "
                f"member, {self.found[0].member.name}, {share:.3g} of it: "
                f"raise budget to {math.ceil(100 * share) / 100:g} or more"
            )

    def _divide(self, source: ImageSource, scan: Scan, digests: Mapping[str, str]) -> Splits:
        return divide_images(source, scan, digests, self.found, self.recipe.images, self.recipe.seed)

    def _plan(self, probabilities: Tensor, labels: Tensor) -> Plan:
        """Chooses members and thresholds."""
        recipe, count = self.recipe, len(self.found)
        menus = [menu for size in range(1, recipe.steps + 1) for menu in itertools.combinations(range(count), size)]

        def price(menu: Sequence[int]) -> Tensor:
            return self.macs[list(menu)].cumsum(dim=0) / self.macs[-1]

        plan = choose_cascade(
            probabilities,
            labels,
            menus,
            price,
            answers=recipe.answers,
            confidence=recipe.confidence,
            budget=recipe.budget,
            floor=float(self.macs[0] / self.macs[-1]),
        )
        chosen, dropped = self._names(plan.members), self._names(self._dropped(plan))
        log.info("of %d cascades, the best for %g of the cost: %s", len(menus), recipe.budget, ", ".join(chosen))
        if dropped:
            log.info("members that do not pay: %s", ", ".join(dropped))
        return plan

    def _build(self, temperatures: Tensor, plan: Plan) -> MemberCascade:
        chosen, last = [self.found[place] for place in plan.members], self.found[-1]
        others = [] if chosen[-1] is last else [last]
        dropped = [self.found[place].member for place in self._dropped(plan)]
        network = MemberCascade(
            [each.member.to_json() for each in chosen],
            num_classes=self.fitting.num_classes,
            images=self.images.to_json(),
            plain=last.member.to_json() if others else None,
            dropped=[(member.name, member.macs) for member in dropped],
            average=plan.average,
            confidence=self.recipe.confidence,
            networks=[each.network for each in (*chosen, *others)],
        )
        network.temperatures = FrozenTable(temperatures[list(plan.members)])
        network.policy = NestedThresholds(plan.tradeoff.thresholds)
        return network.to(self.fitting.device)

    def _write_baselines(self, fitted: Tensor) -> None:
        """Keeps the results of every candidate alone on the test images; ``fitted`` (C,): on those of the fit."""
        logits, labels = self._answers("test")
        hits = logits.argmax(dim=2) == labels[:, None]
        self._warn_of_known_images(fitted, hits.double().mean(dim=0), len(labels))

        def measure() -> Sequence[Baseline]:
            columns = zip(self.found, logits.unbind(dim=1), strict=True)
            return [Baseline.of(each.member.name, judge_hits(rows, labels), each.member.macs) for each, rows in columns]

        self.fitting.write_baselines(measure)

    def _warn_of_known_images(self, fitted: Tensor, tested: Tensor, num_tested: int) -> None:
        num_fitted = len(self.fitting.data.splits.train)
        for each, seen, unseen in zip(self.found, fitted.tolist(), tested.tolist(), strict=True):
            pooled = (seen * num_fitted + unseen * num_tested) / (num_fitted + num_tested)
            error = math.sqrt(pooled * (1 - pooled) * (1 / num_fitted + 1 / num_tested))
            if seen - unseen > FAR_BETTER * error > 0:
                log.warning(
                    "%s classifies %.1f %% of the calibration images correctly, but %.1f %% of the test images: it may "
                    "have been trained on the former, and the thresholds are then too low",
                    each.source,
                    100 * seen,
                    100 * unseen,
                )

    @torch.inference_mode()
    def _answers(self, part: Part) -> tuple[Tensor, Tensor]:
        """Returns the logits (N, C, K) of every candidate, float32 on the CPU, and the labels (N,) of a part."""
        data, device = self.fitting.data, self.fitting.device
        indices = data.splits.indices(data.source, part)
        networks = [nn.Sequential(View(self.images, each.member.images), each.network) for each in self.found]

        def compute(places: Sequence[int]) -> Mapping[str, Tensor]:
            batches = data.evaluate_indices([indices[place] for place in places], device)
            rows = [torch.stack([network(x).float().cpu() for network in networks], dim=1) for x, _ in batches]
            return {"logits": torch.cat(rows)}

        for network in networks:
            network.to(device)
        kept = self.kept.rows([data.source.records[index].id for index in indices], compute)
        return kept["logits"], data.labels(part)

    def _dropped(self, plan: Plan) -> list[int]:
        return [place for place in range(len(self.found)) if place not in plan.members]

    def _names(self, places: Sequence[int]) -> list[str]:
        return [self.found[place].member.name for place in places]

    def _digest(self) -> str:
        """Returns a digest that distinguishes these candidates from others, for logits on disk."""
        digest = hashlib.sha256(dump_json(self.images.to_json()).encode())
        for each in self.found:
            digest.update(dump_json(each.member.to_json()).encode())
            digest.update(digest_of(each.network.state_dict()).encode())
        return digest.hexdigest()
