"""Cascades of the published CIFAR-10 ResNets against each of them alone, on random halves of 1,000 test images.

python benchmarks/member_cascade.py cifar10/ cifar10_resnets/

Nothing is trained. One half of the images calibrates, the other tests: temperatures, members and thresholds are from
one half of the calibrating images, the knob from the other, as in `modicum train cascade --members ... --answers
average`. `--check` exits with 1 where the target is missed.

`--losses 0.01 0.02` certifies instead what may be lost, with 500 of the images in each of as many draws; see
`redraws.py`. There all is fixed beforehand: ResNet-20 goes first, ResNet-32 second, thresholds fall in even steps.
"""

import argparse
import itertools
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from redraws import Knobs, print_redraws
from torch import Tensor

from modicum.adaptive.calibration import bisect_knob
from modicum.adaptive.cascades import NestedThresholds
from modicum.classify.cascade.member_sources import Found, find_members
from modicum.classify.cascade.menu import choose_cascade, judge_members
from modicum.classify.confidence import fit_temperatures
from modicum.classify.data.opening import open_source
from modicum.classify.recipe import ImageOptions
from modicum.datasets.preprocessing import normalise

DEPTHS = (20, 32, 56)
BUDGETS_M = (46.0, 48.0)
MOST_M, LEAST_PERCENT = 48.0, 93.4  # the target: multiply-adds at most, accuracy at least
NUM_THRESHOLDS, NUM_CERTIFYING = 1001, 500  # of a certificate


class Tested(NamedTuple):
    """Holds what one cascade gave on the images that it was tested on."""

    percent: float
    million_macs: float
    members: tuple[str, ...]


def main() -> None:
    """Prints the table as Markdown; the spread is the standard deviation over the halves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path, help="CIFAR-10's files.")
    parser.add_argument("weights", type=Path, help="The folder of resnet20.safetensors, resnet32 and resnet56.")
    parser.add_argument("--halves", type=int, default=200, help="Random halves.")
    parser.add_argument("--losses", nargs="*", type=float, default=[], help="Losses to certify at 95 %%.")
    parser.add_argument("--check", action="store_true", help="Exit with 1 where the target is missed.")
    options = parser.parse_args()
    names = [f"cifar_resnet{depth}={options.weights / f'resnet{depth}.safetensors'}" for depth in DEPTHS]
    found = find_members(names, ImageOptions(), 32)
    logits, labels = answer(found, str(options.data))
    if options.losses:
        print_certified(found, logits, labels, options.losses, options.halves)
        return
    print("| network | M MAC | accuracy, % | spread | members chosen |\n| --- | --- | --- | --- | --- |")
    for place, each in enumerate(found):
        right = 100 * (logits[:, place].argmax(dim=1) == labels).double().mean()
        print(f"| {each.member.name} alone | {each.member.macs / 1e6:.1f} | {right:.1f} | | |")
    reached = [_print_row(found, logits, labels, budget, options.halves) for budget in BUDGETS_M]
    holds = any(percent >= LEAST_PERCENT and macs <= MOST_M for percent, macs in reached)
    print(f"\n>= {LEAST_PERCENT} % at <= {MOST_M:g} M multiply-adds: {'yes' if holds else 'NO'}")
    if options.check and not holds:
        sys.exit(1)


@torch.inference_mode()
def answer(found: Sequence[Found], data: str) -> tuple[Tensor, Tensor]:
    """Returns the logits (N, C, K) of every network on the test images, and their labels (N,)."""
    source = open_source(data)
    tested = [index for index, record in enumerate(source.records) if record.split == "test"]
    pixels = torch.stack([torch.tensor(source.pixels(index)).permute(2, 0, 1) for index in tested])
    columns = []
    for each in found:
        images = normalise(pixels, each.member.images.mean, each.member.images.std)
        columns.append(torch.cat([each.network(batch) for batch in images.split(100)]))
    return torch.stack(columns, dim=1), torch.tensor([source.records[index].label for index in tested])


def test_half(found: Sequence[Found], logits: Tensor, labels: Tensor, budget: float, seed: int) -> Tested:
    """Chooses a cascade for a mean cost of ``budget`` multiply-adds on half of the images, tests it on the rest."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    fitting, knobs, testing = order.split([len(order) // 4, len(order) // 4, len(order) - 2 * (len(order) // 4)])
    macs = torch.tensor([each.member.macs for each in found], dtype=torch.float64)
    probabilities = (logits / fit_temperatures(logits[fitting], labels[fitting])[:, None]).softmax(dim=2)
    menus = [menu for size in (1, 2, 3) for menu in itertools.combinations(range(len(found)), size)]
    plan = choose_cascade(
        probabilities[fitting],
        labels[fitting],
        menus,
        lambda menu: macs[list(menu)].cumsum(dim=0),
        answers="average",
        confidence="margin",
        budget=budget,
        floor=float(macs[0]),
    )
    members = list(plan.members)
    costs, policy = macs[members].cumsum(dim=0), NestedThresholds(plan.tradeoff.thresholds)
    answers, sure = judge_members(probabilities[:, members], "margin", average=plan.average)
    hits = (answers.argmax(dim=2) == labels[:, None]).double()
    knob = bisect_knob(lambda knob: float(costs[policy.decide(sure[knobs], knob)].mean()), budget, (0.0, 1.0))
    routes = policy.decide(sure[testing], knob)
    right = hits[testing].gather(1, routes[:, None]).mean()
    chosen = tuple(found[place].member.name for place in members)
    return Tested(100 * float(right), float(costs[routes].mean()) / 1e6, chosen)


def print_certified(
    found: Sequence[Found], logits: Tensor, labels: Tensor, losses: Sequence[float], num_draws: int
) -> None:
    """Prints what certificates of the two cheapest networks cost, against what both give together, or the second."""
    for average, reference in ((True, "the mean of both networks"), (False, "the second network alone")):
        knobs, accuracy = judge_thresholds(found, logits, labels, average=average)
        names = " then ".join(each.member.name for each in found[:2])
        print(f"\n{names}, against {reference} for every image: {accuracy:.1%}")
        print_redraws([knobs], losses, NUM_CERTIFYING, num_draws)


def judge_thresholds(found: Sequence[Found], logits: Tensor, labels: Tensor, *, average: bool) -> tuple[Knobs, float]:
    """Judges the two cheapest networks at all thresholds, and returns the accuracy of the most expensive one, too."""
    macs = torch.tensor([each.member.macs for each in found[:2]], dtype=torch.float64)
    costs = macs.cumsum(dim=0) if average else macs
    answers, sure = judge_members(logits[:, :2].softmax(dim=2), "margin", average=average)
    hits = answers.argmax(dim=2) == labels[:, None]
    thresholds = torch.linspace(1, 0, NUM_THRESHOLDS)
    goes_on = sure[:, 0] < thresholds[:, None]  # (P, N)
    right = torch.where(goes_on, hits[:, 1], hits[:, 0])
    shares = torch.where(goes_on, macs.sum(), macs[0]) / costs[1]
    return Knobs(hits[:, 1] & ~right, right, shares), float(hits[:, 1].double().mean())


def _print_row(
    found: Sequence[Found], logits: Tensor, labels: Tensor, budget_m: float, halves: int
) -> tuple[float, float]:
    tested = [test_half(found, logits, labels, 1e6 * budget_m, seed) for seed in range(halves)]
    percents = [each.percent for each in tested]
    mean, macs = statistics.mean(percents), statistics.mean(each.million_macs for each in tested)
    counts = Counter(each.members for each in tested).most_common(2)
    told = "; ".join(f"{', '.join(members)}: {count}" for members, count in counts)
    print(
        f"| cascade for {budget_m:g} M | {macs:.1f} | {mean:.2f} | ± {statistics.stdev(percents):.2f} | {told} |",
        flush=True,
    )
    return mean, macs


if __name__ == "__main__":
    main()
