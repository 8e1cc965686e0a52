"""Pools what cascades of several seeds reach within a budget, or within a guaranteed loss, over their test images.

python benchmarks/cascade_seeds.py runs/caltech-0 runs/caltech-1 runs/caltech-2 --budgets 0.35 0.3 --losses 0.01 0.02

Each run chose its steps on its training part. Its calibration part gives the knob, here anew for every row; its test
part chooses nothing but the rival: the best static network or mix of two at the cost that the cascade had there.
Intervals are paired over all test images of all runs.
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

import modicum
from modicum.adaptive.calibration import calibrate
from modicum.adaptive.guarantee import GuaranteeError, Terms
from modicum.adaptive.rivals import Gain, Offer, mix_at, paired_gain
from modicum.classify.evaluation import judge, open_data, read_contestants
from modicum.classify.evidence import AdaptiveClassifier, Judged
from modicum.classify.guarantee import certify_on_calibration_part
from modicum.classify.preparation import PreparedData
from modicum.systems import open_run


class Part(NamedTuple):
    """One run at one knob, on its test images."""

    share: float  # of the plain network's multiply-adds
    hits: Tensor  # (N,) float64
    plain: Tensor  # (N,) float64
    rival: Tensor  # (N,) float64, of a mix its expectation
    lost: float  # share of the images that only the plain network classifies right


class Opened(NamedTuple):
    """A run with what judging it takes."""

    model: AdaptiveClassifier
    data: PreparedData
    calibration: Judged
    test: Judged
    static: list[Offer]
    plain: Tensor  # (N,) bool


def main() -> None:
    """Prints the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("runs", nargs="+", type=Path, help="Run folders of cascades that differ in their seed.")
    parser.add_argument("--budgets", nargs="*", type=float, default=[], help="Shares of the plain network's cost.")
    parser.add_argument("--losses", nargs="*", type=float, default=[], help="Losses to guarantee at 95 %%.")
    options = parser.parse_args()
    opened = [open_cascade(path) for path in options.runs]
    print(f"| {len(opened)} runs | of plain | accuracy | plain | against plain | best static mix | gain | lost |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for budget in options.budgets:
        print_row(f"budget {budget:g}", opened, lambda run, budget=budget: knob_for_budget(run, budget))
    for loss in options.losses:
        print_row(f"at most {loss:.1%} lost", opened, lambda run, loss=loss: knob_for_loss(run, loss))


def open_cascade(path: Path) -> Opened:
    """Opens a run and judges its calibration and test parts."""
    run, model = open_run(path).run, modicum.load(path)
    data = open_data(run.recipe, run.folder)
    test = judge(model, data, "test")
    baselines, _ = read_contestants(run.folder, len(test.labels))
    plain = next(each.hits for each in baselines if each.point.name == "plain network")
    static = [Offer(each.point.name, each.point.cost, each.hits.double()) for each in baselines]
    return Opened(model, data, judge(model, data, "calibration"), test, static, plain)


def knob_for_budget(run: Opened, budget: float) -> float:
    """Returns the knob for a mean cost on the calibration part."""
    judged, costs = run.calibration, run.model.costs
    return calibrate(judged.scored, judged.outcome, run.model.policy, costs, budget * (costs.plain or 0)).knob


def knob_for_loss(run: Opened, loss: float) -> float:
    """Returns the cheapest knob that keeps a loss with 95 % confidence on the calibration part."""
    terms = Terms(loss, 0.95)
    return certify_on_calibration_part(run.model, run.data, terms, reference="plain", refit=None).knob


def part_of(run: Opened, knob: float) -> Part:
    """Judges one run at one knob on its test images."""
    costs = run.model.costs
    routes = run.model.policy.decide(run.test.scored.scores, knob)
    cost, hits = float(costs.of(routes).mean()), run.test.outcome(routes).each()
    mix = mix_at(run.static, cost)
    assert mix is not None
    assert costs.plain is not None
    lost = (run.plain & (hits == 0)).double().mean()
    return Part(cost / costs.plain, hits, run.plain.double(), mix.each, float(lost))


def print_row(name: str, runs: Sequence[Opened], knob_of: Callable[[Opened], float]) -> None:
    """Prints what all runs together reach at their knobs."""
    try:
        parts = [part_of(run, knob_of(run)) for run in runs]
    except GuaranteeError as error:
        print(f"| {name} | {error} | | | | | | |")
        return
    hits, plain, rival = (torch.cat([getattr(part, key) for part in parts]) for key in ("hits", "plain", "rival"))
    cells = [
        name,
        _mean(part.share for part in parts),
        f"{hits.mean():.1%}",
        f"{plain.mean():.1%}",
        _gain(paired_gain(hits, plain)),
        f"{rival.mean():.1%}",
        _gain(paired_gain(hits, rival)),
        _mean(part.lost for part in parts),
    ]
    print(f"| {' | '.join(cells)} |")


def _mean(shares: Iterable[float]) -> str:
    values = list(shares)
    return f"{sum(values) / len(values):.1%}"


def _gain(gain: Gain) -> str:
    return f"{100 * gain.gain:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"


if __name__ == "__main__":
    main()
