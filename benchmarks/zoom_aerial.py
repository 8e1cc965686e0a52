"""What zooming saves on real pictures: policies at the prices that validation pictures chose, with crops really run.

    python benchmarks/zoom_detectors.py data/ --out runs/zoom-trials
    python benchmarks/zoom_aerial.py data/ --trials runs/zoom-trials sequence time people-pasted people

Prints tables in Markdown and writes what was fitted and chosen beside the detectors, for `zoom_clock.py`.

``sequence`` tests each group of flights by detectors that were trained on the others. Calibration, R-net and price come
from the other groups, each as seen by detectors that were trained without it. The other names are those of trials with
a split of their own, whose calibration part serves for all that is chosen.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from zoom_cases import OVERHEAD, Case, cases_of, fit_maps
from zoom_detectors import GROUPS

from modicum.detect.average_precision import AveragePrecision, judge_precision
from modicum.detect.boxes import Detections
from modicum.detect.overlaps import Boxes
from modicum.detect.zoom.baselines import plan_fixed, plan_random
from modicum.detect.zoom.gains import BoxGains, UntrainedGain, untrained_gains
from modicum.detect.zoom.matching import gain_recall
from modicum.detect.zoom.planning import Plan, plan_by_density
from modicum.detect.zoom.rnet import RNet, predict_gains
from modicum.detect.zoom.rnet_training import GainFit, GainPairs, RNetTraining, assess_rnet, gain_pairs, train_rnet
from modicum.detect.zoom.windows import enumerate_windows, slice_windows

PRICES = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0)
KEPT = 0.99  # share of the fine detector's precision that the price must keep on validation pictures
DRAWS = 500  # of the bootstrap over pictures
RANDOM_SEEDS = 2
SLICE_PX, SLICE_OVERLAP = (512, 512), 0.2

# Of a few pictures, where gains follow scores by a narrow bump: 600 steps at a rate of 0.001 do not reach it.
TRAINING = RNetTraining(rate=5e-3, least_steps=1200)
GainsOf = Callable[[Case], BoxGains]


@dataclass(frozen=True, eq=False)
class Fold:
    """Pictures to fit and choose on, and to test on.

    Attributes:
        name: Of what is tested.
        fit: By group; R-net learns from all, and is judged on each by one that learnt from the others.
        choose: Names of the groups on which the price is chosen.
        test: Pictures that nothing was fitted on.
        features: Whether R-net sees features, which only make sense of the detectors that it learnt from.
    """

    name: str
    fit: Mapping[str, Sequence[Case]]
    choose: Sequence[str]
    test: Sequence[Case]
    features: bool

    @cached_property
    def rnet(self) -> RNet:
        """The R-net of the test."""
        return self.train([case for group in self.fit.values() for case in group])

    @cached_property
    def validation(self) -> list[tuple[Case, Plan]]:
        """Pictures to choose on, each with a plan by an R-net that learnt from the other groups."""
        found = []
        for name in self.choose:
            rnet = self.train([case for other, group in self.fit.items() if other != name for case in group])
            found += [(case, greedy(predicted(rnet)(case))) for case in self.fit[name]]
        return found

    @cached_property
    def price(self) -> float:
        """The highest price that keeps enough of the fine detector's precision on validation pictures."""
        cases = [case for case, _ in self.validation]
        wanted = KEPT * precision(cases, [case.fine for case in cases]).total()
        kept = [0.0]
        for price in PRICES:
            answers = [case.answer(plan.at(price)) for case, plan in self.validation]
            if precision(cases, answers).total() >= wanted:
                kept.append(price)
        return max(kept)

    def train(self, cases: Sequence[Case]) -> RNet:
        """Fits an R-net."""
        pairs = pairs_of(cases, features=self.features)
        count = 0 if pairs.inputs.features is None else pairs.inputs.features.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            rnet = RNet(1, count, hidden=64, dropout=0.3)
        train_rnet(rnet, pairs, TRAINING)
        return rnet

    def save(self, folder: Path) -> None:
        """Writes the R-net, both calibrations and the price."""
        folder.mkdir(parents=True, exist_ok=True)
        maps = {
            f"{role}/{part}": torch.from_numpy(getattr(scores, part))
            for role, scores in zip(("coarse", "fine"), self.test[0].maps, strict=True)
            for part in ("before", "after")
        }
        save_file(
            {**maps, **{f"rnet/{key}": value for key, value in self.rnet.state_dict().items()}},
            folder / "fit.safetensors",
        )
        chosen = {"trial": self.test[0].trial, "price": self.price, "test": [case.picture.index for case in self.test]}
        (folder / "chosen.json").write_text(json.dumps(chosen))


def without_features(found: Detections) -> Detections:
    """Returns detections as an R-net of scores and boxes sees them."""
    return replace(found, features=None)


def pairs_of(cases: Sequence[Case], *, features: bool) -> GainPairs:
    """Returns the detections of pictures and what looking closer gains."""
    found = [case.coarse if features else without_features(case.coarse) for case in cases]
    return gain_pairs(found, [case.matches for case in cases], [case.size for case in cases])


def predicted(rnet: RNet) -> GainsOf:
    """Returns the gains that an R-net promises."""

    def gains(case: Case) -> BoxGains:
        seen = case.coarse if rnet.num_features else without_features(case.coarse)
        return case.gains(predict_gains(rnet, seen, *case.size))

    return gains


def by_score(kind: UntrainedGain) -> GainsOf:
    """Returns the gains that stand for the entropy of a score, or for the score."""
    return lambda case: case.gains(untrained_gains(case.coarse.arrays().scores, kind))


def greedy(gains: BoxGains, overhead: float = OVERHEAD) -> Plan:
    """Plans by density."""
    return plan_by_density(gains, enumerate_windows(gains.grid), overhead=overhead)


def precision(cases: Sequence[Case], found: Sequence[Detections]) -> AveragePrecision:
    """Returns average precision at an overlap of 0.5."""
    return judge_precision(found, [case.objects for case in cases], [0.5])


@dataclass(frozen=True, eq=False)
class Row:
    """One policy on test pictures.

    Attributes:
        name: Of the policy.
        cases: The pictures.
        found: What is found in each in the end.
        shares: Pixels read of each, as a share of its own.
        windows: Mean number of windows.
    """

    name: str
    cases: Sequence[Case]
    found: Sequence[Detections]
    shares: Sequence[float]
    windows: float

    @classmethod
    def of(cls, name: str, cases: Sequence[Case], windows: Sequence[Boxes]) -> "Row":
        """Reads these windows of each picture after the coarse pass."""
        pairs = list(zip(cases, windows, strict=True))
        found, shares = [case.answer(own) for case, own in pairs], [case.share(own) for case, own in pairs]
        return cls(name, cases, found, shares, float(np.mean([len(own) for own in windows])))

    @cached_property
    def worth(self) -> AveragePrecision:
        """Average precision at an overlap of 0.5."""
        return precision(self.cases, self.found)

    @cached_property
    def draws(self) -> NDArray[np.float64]:
        """Average precision on sets drawn from the pictures, the same sets for all policies."""
        return self.worth.resample(DRAWS, np.random.default_rng(0))

    @cached_property
    def ap(self) -> float:
        """COCO's average precision."""
        return judge_precision(self.found, [case.objects for case in self.cases]).total()

    @property
    def pixels(self) -> float:
        """Mean share of a picture's pixels."""
        return float(np.mean(self.shares))

    def line(self, best: "Row") -> str:
        """Returns a line of a table; ``best`` is the fine detector on whole pictures."""
        low, high = np.quantile(self.draws / best.draws, [0.025, 0.975])
        ap50 = self.worth.total()
        cells = (
            self.name,
            f"{ap50:.3f}",
            f"{ap50 / best.worth.total():.1%} ({low:.1%} to {high:.1%})",
            f"{self.ap:.3f}",
            f"{self.ap / best.ap:.1%}",
            f"{self.pixels:.1%}",
            f"{self.windows:.1f}",
        )
        return f"| {' | '.join(cells)} |"


HEADER = """| policy | AP50 | of fine only (95 % interval) | AP | of fine only | pixels | windows |
| --- | --- | --- | --- | --- | --- | --- |"""


def folds_of(name: str, *, data: Path, trials: Path) -> list[Fold]:
    """Returns the folds of an experiment, scores calibrated."""
    if name != "sequence":
        fit, test = (cases_of(name, part, data=data, trials=trials) for part in ("calibration", "test"))
        maps = fit_maps(fit)
        fit, test = ([replace(case, maps=maps) for case in part] for part in (fit, test))
        groups = {str(place): fit[place::5] for place in range(5)}
        return [Fold(name, groups, list(groups), test, features=True)]
    ready = [group for group in GROUPS if (trials / f"without-{group}" / "fine.safetensors").exists()]
    seen = {group: cases_of(f"without-{group}", "test", data=data, trials=trials) for group in ready}
    folds = []
    for group, test in seen.items():
        maps = fit_maps([case for other, cases in seen.items() if other != group for case in cases])
        mapped = {
            other: [replace(case, maps=maps) for case in cases] for other, cases in seen.items() if other != group
        }
        choose = [other for other in mapped if other != "munich"]
        folds.append(Fold(group, mapped, choose, [replace(case, maps=maps) for case in test], features=False))
    return folds


def at_least(cases: Sequence[Case], plans: Sequence[Plan], pixels: float) -> list[Boxes]:
    """Returns the windows of plans at the highest price at which they read at least so many pixels on average."""
    prices = sorted({price for plan in plans for price in plan.prices.tolist()}, reverse=True)
    for price in prices:
        windows = [plan.at(price) for plan in plans]
        if np.mean([case.share(own) for case, own in zip(cases, windows, strict=True)]) >= pixels:
            return windows
    return [plan.at(0.0) for plan in plans]


def fixed_windows(fold: Fold, pixels: float) -> list[Boxes]:
    """Returns the best constant windows of the pictures that were fitted, at least so many pixels."""
    alike = [case for group in fold.fit.values() for case in group if case.size == fold.test[0].size]
    plan = plan_fixed([case.truth() for case in alike], alike[0].lattices)
    return at_least(fold.test, [plan] * len(fold.test), pixels)


def random_windows(fold: Fold, pixels: float, seed: int) -> list[Boxes]:
    """Returns small windows at random, at least so many pixels."""
    generator = np.random.default_rng(seed)
    plans = [plan_random(case.grid, case.lattices[-1], generator) for case in fold.test]
    return at_least(fold.test, plans, pixels)


def baselines(folds: Sequence[Fold], chosen: Mapping[str, Row]) -> Iterator[tuple[str, list[Boxes]]]:
    """Yields names of policies and their windows on all test pictures, at the pixels that R-net read in each fold."""
    greedy_by = {"entropy": by_score("entropy"), "score": by_score("score"), "true gain": Case.truth}
    for name, gains in greedy_by.items():
        yield (
            f"greedy, {name}, at equal pixels",
            [
                own
                for fold in folds
                for own in at_least(fold.test, [greedy(gains(case)) for case in fold.test], chosen[fold.name].pixels)
            ],
        )
    yield "best fixed windows", [own for fold in folds for own in fixed_windows(fold, chosen[fold.name].pixels)]
    for seed in range(RANDOM_SEEDS):
        yield (
            f"random windows, seed {seed}",
            [own for fold in folds for own in random_windows(fold, chosen[fold.name].pixels, seed)],
        )


def chosen_windows(fold: Fold, plans: Sequence[Plan], pixels: float | None) -> list[Boxes]:
    """Returns the windows of test pictures at the chosen price, or those that read at least so many pixels."""
    return [plan.at(fold.price) for plan in plans] if pixels is None else at_least(fold.test, plans, pixels)


def table(folds: Sequence[Fold], pixels: float | None) -> None:
    """Prints the table of policies, the curve over prices, and what each fold kept.

    Args:
        folds: What to test.
        pixels: Share of the pixels that all policies read at least, in place of what the chosen prices read.
    """
    cases = [case for fold in folds for case in fold.test]
    plans = {fold.name: [greedy(predicted(fold.rnet)(case)) for case in fold.test] for fold in folds}
    chosen = {fold.name: Row.of(fold.name, fold.test, chosen_windows(fold, plans[fold.name], pixels)) for fold in folds}
    best = Row("fine only", cases, [case.fine for case in cases], [1.0] * len(cases), 1.0)
    none = [np.zeros((0, 4))] * len(cases)
    ours = [own for fold in folds for own in chosen_windows(fold, plans[fold.name], pixels)]
    slices = [slice_windows(*case.size, SLICE_PX, SLICE_OVERLAP) for case in cases]
    prices = ", ".join(f"{fold.price:g}" for fold in folds)
    how = f"at chosen price ({prices})" if pixels is None else f"at least {pixels:.0%} of the pixels"
    rows = [
        best,
        Row.of("coarse only", cases, none),
        Row.of(f"**greedy, R-net, {how}**", cases, ours),
        *(Row.of(name, cases, windows) for name, windows in baselines(folds, chosen)),
        Row.of("slices of 512 px, overlap 0.2", cases, slices),
    ]
    print("\n".join([HEADER, *(row.line(best) for row in rows)]))
    print(f"\nCurve over prices of greedy with R-net\n\n{HEADER}")
    for price in PRICES:
        windows = [plan.at(price) for fold in folds for plan in plans[fold.name]]
        print(Row.of(f"price {price:g}", cases, windows).line(best), flush=True)
    print()
    for fold in folds:
        row, fine = chosen[fold.name], precision(fold.test, [case.fine for case in fold.test]).total()
        kept = row.worth.total() / fine
        print(
            f"- {fold.name}: {len(fold.test)} pictures, AP50 {fine:.3f} of fine only, {kept:.1%} of it kept on "
            f"{row.pixels:.1%} of the pixels; price chosen {fold.price:g}"
        )


def rnet_lines(folds: Sequence[Fold]) -> None:
    """Prints how well gains are predicted on test pictures."""
    for fold in folds:
        fit: GainFit = assess_rnet(fold.rnet, pairs_of(fold.test, features=fold.features))
        recall = gain_recall([case.matches for case in fold.test])
        print(
            f"- R-net, {fold.name}: R2 {fit.r2:.2f}, correlation {fit.correlation:.2f}, of ranks "
            f"{fit.rank_correlation:.2f} (entropy {fit.entropy_rank_correlation:.2f}), {fit.num_detections} boxes; "
            f"{recall:.1%} of the true gain lies in proposals"
        )


def main() -> None:
    """Measures the experiments that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("experiments", nargs="+", choices=["sequence", "time", "people-pasted", "people"])
    parser.add_argument("--trials", type=Path, required=True, help="folder of zoom_detectors.py")
    parser.add_argument("--pixels", type=float, help="compare all policies at this share, not at the chosen prices")
    chosen = parser.parse_args()
    for name in chosen.experiments:
        folds = folds_of(name, data=chosen.data, trials=chosen.trials)
        folds = [fold for fold in folds if fold.name != "munich"]
        print(f"\n## {name}\n")
        rnet_lines(folds)
        for fold in folds:
            fold.save(chosen.trials / "chosen" / fold.name)
        keep_windows(folds)
        print(flush=True)
        table(folds, chosen.pixels)
        keep_windows(folds)


def keep_windows(folds: Sequence[Fold]) -> None:
    """Writes what was found in windows, so that a run that is repeated goes on from there."""
    for fold in folds:
        for case in (*fold.test, *(case for group in fold.fit.values() for case in group)):
            case.windows.save()


if __name__ == "__main__":
    main()
