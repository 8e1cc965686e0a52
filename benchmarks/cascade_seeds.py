"""Pools what cascades of several seeds reach within a budget, or within a guaranteed loss, over their test images.

python benchmarks/cascade_seeds.py runs/caltech-0 runs/caltech-1 runs/caltech-2 --budgets 0.35 0.3 --losses 0.01 0.02

Each run chose its steps on its training part. Its calibration part gives the knob, here anew for every row; its test
part chooses nothing but the rival: the best static network or mix of two at the cost that the cascade had there.
Intervals are paired over all test images of all runs. `--redraws` certifies each loss on further draws, of the images
of both parts of each run; see `redraws.py`.

Networks run once per run, in minutes; `--cache` keeps what they gave. Every row and every draw is looked up in it.
"""

import argparse
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from redraws import Knobs, print_redraws
from safetensors.torch import load_file, save_file
from torch import Tensor

import modicum
from modicum.adaptive.calibration import bisect_knob
from modicum.adaptive.contract import device_of
from modicum.adaptive.curve import knob_sequence
from modicum.adaptive.guarantee import GuaranteeError, Terms, find_last_passing
from modicum.adaptive.rivals import Gain, Offer, mix_at, paired_gain
from modicum.classify.cascade.folding import fold_cascade
from modicum.classify.evaluation import judge, open_data, read_contestants
from modicum.classify.evidence import AdaptiveClassifier
from modicum.classify.guarantee import MOST_SPREAD, images_of
from modicum.classify.preparation import PreparedData
from modicum.systems import open_run


class Seen(NamedTuple):
    """All that running a cascade on its images gives; M steps."""

    spread: Tensor  # (S, M): confidences on training images, over which the knobs of a certificate are spread
    sure: Tensor  # (C, M): on the calibration images
    hits: Tensor  # (C, M) bool
    plain: Tensor  # (C,) bool: whether the plain network is right
    test_sure: Tensor  # (N, M)
    test_hits: Tensor  # (N, M) bool


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
    seen: Seen
    static: list[Offer]
    plain: Tensor  # (N,) bool


def main() -> None:
    """Prints the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("runs", nargs="+", type=Path, help="Run folders of cascades that differ in their seed.")
    parser.add_argument("--budgets", nargs="*", type=float, default=[], help="Shares of the plain network's cost.")
    parser.add_argument("--losses", nargs="*", type=float, default=[], help="Losses to guarantee at 95 %%.")
    parser.add_argument("--redraws", type=int, default=0, help="Draws on which each loss is certified, per run.")
    parser.add_argument(
        "--certifying", type=int, help="Images of a draw that certify; as many as calibrated, if omitted."
    )
    parser.add_argument("--cache", type=Path, help="Folder that keeps what the networks gave.")
    options = parser.parse_args()
    opened = [open_cascade(path, options.cache) for path in options.runs]
    print(f"| {len(opened)} runs | of plain | accuracy | plain | against plain | best static mix | gain | lost |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for budget in options.budgets:
        print_row(f"budget {budget:g}", opened, lambda run, budget=budget: knob_for_budget(run, budget))
    for loss in options.losses:
        print_row(f"at most {loss:.1%} lost", opened, lambda run, loss=loss: knob_for_loss(run, Terms(loss)))
    if options.redraws:
        pools = [judge_knobs(run) for run in opened]
        print_redraws(pools, options.losses, options.certifying or len(opened[0].seen.sure), options.redraws)


def open_cascade(path: Path, cache: Path | None) -> Opened:
    """Opens a run, and runs it on its images unless the cache holds what that gave."""
    run = open_run(path).run
    model = fold_cascade(modicum.load(path))
    kept = None if cache is None else cache / f"{path.name}-{_digest(run.folder.weights)}.safetensors"
    if kept is not None and kept.is_file():
        seen = Seen(**load_file(kept))
    else:
        seen = see(model, open_data(run.recipe, run.folder))
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            save_file(seen._asdict(), kept)
    baselines, _ = read_contestants(run.folder, len(seen.test_hits))
    plain = next(each.hits for each in baselines if each.point.name == "plain network")
    static = [Offer(each.point.name, each.point.cost, each.hits.double()) for each in baselines]
    return Opened(model, seen, static, plain)


@torch.inference_mode()
def see(model: AdaptiveClassifier, data: PreparedData) -> Seen:
    """Runs a cascade, and its plain network on the calibration images."""
    device = device_of(model)
    calibrating = images_of(data, "calibration", device)
    plain = calibrating.classes_by(model.plain_network().eval()) == calibrating.labels
    calibration, test = judge(model, data, "calibration"), judge(model, data, "test")
    assert calibration.answers is not None  # a cascade has few routes
    assert test.answers is not None
    spread = images_of(data, "train", device, most=MOST_SPREAD).scored(model).scores
    hits, test_hits = calibration.answers.top1, test.answers.top1
    return Seen(spread, calibration.scored.scores, hits, plain, test.scored.scores, test_hits)


def knob_for_budget(run: Opened, budget: float) -> float:
    """Returns the knob for a mean cost on the calibration part."""
    costs, policy, sure = run.model.costs, run.model.policy, run.seen.sure

    def mean_cost(knob: float) -> float:
        return float(costs.of(policy.decide(sure, knob)).mean())

    return bisect_knob(mean_cost, budget * plain_cost(run), policy.knob_range(sure))


def knob_for_loss(run: Opened, terms: Terms) -> float:
    """Returns the cheapest knob that `modicum calibrate --max-loss` certifies on the calibration part."""
    seen, policy = run.seen, run.model.policy

    def losses(knob: float) -> Tensor:
        return seen.plain & ~on_routes(seen.hits, policy.decide(seen.sure, knob))

    return find_last_passing(certified_knobs(run), losses, terms).knob


def judge_knobs(run: Opened) -> Knobs:
    """Judges every knob that may be certified on the calibration and test images together."""
    seen, costs = run.seen, run.model.costs
    sure, hits = torch.cat([seen.sure, seen.test_sure]), torch.cat([seen.hits, seen.test_hits])
    plain = torch.cat([seen.plain, run.plain])
    routes = [run.model.policy.decide(sure, knob) for knob in certified_knobs(run)]
    right = torch.stack([on_routes(hits, each) for each in routes])
    return Knobs(plain & ~right, right, torch.stack([costs.of(each) / plain_cost(run) for each in routes]))


def certified_knobs(run: Opened) -> tuple[float, ...]:
    """Returns the sequence of knobs that certificates test, most expensive first."""
    return knob_sequence(run.seen.spread, run.model.policy, run.model.costs)


def part_of(run: Opened, knob: float) -> Part:
    """Judges one run at one knob on its test images."""
    routes = run.model.policy.decide(run.seen.test_sure, knob)
    cost, hits = float(run.model.costs.of(routes).mean()), on_routes(run.seen.test_hits, routes).double()
    mix = mix_at(run.static, cost)
    assert mix is not None
    lost = (run.plain & (hits == 0)).double().mean()
    return Part(cost / plain_cost(run), hits, run.plain.double(), mix.each, float(lost))


def on_routes(hits: Tensor, routes: Tensor) -> Tensor:
    """Returns whether each image is classified right (N,) on its route (N,), of all routes (N, M)."""
    return hits.gather(1, routes[:, None])[:, 0]


def plain_cost(run: Opened) -> float:
    """Returns the multiply-adds of the plain network."""
    cost = run.model.costs.plain
    assert cost is not None  # only networks without a full form have none
    return cost


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


def _digest(weights: Path) -> str:
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def _mean(shares: Iterable[float]) -> str:
    values = list(shares)
    return f"{sum(values) / len(values):.1%}"


def _gain(gain: Gain) -> str:
    return f"{100 * gain.gain:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"


if __name__ == "__main__":
    main()
