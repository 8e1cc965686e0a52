"""A cascade of sizes of a network whose head was fitted at one size: where a cascade does not pay.

python benchmarks/unadapted_sizes.py imagenet/ classes.json

EfficientNet-Lite0 with its ImageNet weights and its own head, at 96 to 224 px, on photographs whose file names begin
with the WordNet id of their class. Nothing is trained. On random halves, one half gives temperatures, members and
thresholds, the other tests, at the cost that the cascade has there, against the best mix of two sizes.
"""

import argparse
import itertools
import json
import statistics
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from modicum.adaptive.calibration import bisect_knob
from modicum.adaptive.cascades import NestedThresholds
from modicum.adaptive.rivals import Offer, mix_at
from modicum.classify.cascade.menu import choose_cascade, judge_members
from modicum.classify.confidence import fit_temperatures
from modicum.classify.pretrained import read_start
from modicum.datasets.preprocessing import Preprocessing
from modicum.imaging.decoding import decode
from modicum.imaging.files import list_pictures, read_content
from modicum.measuring.counting import count_network_macs
from modicum.nn.resizing import Resize

BACKBONE, SIDE = "tf_efficientnet_lite0", 224
SIZES = (96, 128, 160, 192, 224)
BUDGETS = (0.4, 0.6, 0.8)  # of the cost of the largest size
HALVES = 100


class Answered(NamedTuple):
    """What every size answers."""

    logits: Tensor  # (N, C, K)
    labels: Tensor  # (N,)
    costs: Tensor  # (C,) float64, as shares of the largest size's


def main() -> None:
    """Prints both tables as Markdown; a spread is the standard deviation over the halves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("photographs", type=Path, help="A folder of images called WORDNETID_anything.")
    parser.add_argument("classes", type=Path, help="JSON: a list of all 1,000 classes with index and WordNet id.")
    options = parser.parse_args()
    answered = answer(options.photographs, options.classes)
    right = (answered.logits.argmax(dim=2) == answered.labels[:, None]).double().mean(dim=0)
    print(f"| size, {len(answered.labels)} photographs | of the largest | accuracy |\n| --- | --- | --- |")
    for size, cost, share in zip(SIZES, answered.costs.tolist(), right.tolist(), strict=True):
        print(f"| {size} px | {cost:.0%} | {share:.1%} |")
    print(
        "\n| budget | cost | cascade | best mix of that cost | gain | spread |\n| --- | --- | --- | --- | --- | --- |"
    )
    for budget in BUDGETS:
        rows = [test_half(answered, budget, seed) for seed in range(HALVES)]
        cost, ours, mix = (statistics.mean(column) for column in zip(*rows, strict=True))
        spread = statistics.stdev(ours - mix for _, ours, mix in rows)
        print(
            f"| {budget:.0%} | {cost:.0%} | {ours:.1%} | {mix:.1%} | {100 * (ours - mix):+.1f} | ± {100 * spread:.1f} |"
        )


@torch.inference_mode()
def answer(photographs: Path, classes: Path) -> Answered:
    """Runs the network at every size."""
    start = read_start(BACKBONE, "lite0")
    network = start.create(1000).eval()
    places = {entry["wnid"]: entry["index"] for entry in json.loads(classes.read_text())}
    files = list_pictures(photographs)
    assert start.weights is not None
    assert start.weights.images is not None
    wanted = start.weights.images
    read = Preprocessing(SIDE, wanted.short_px, wanted.mean, wanted.std, interpolation=wanted.interpolation)
    pixels = [read.eval_transform()(decode(read_content(file), file.name)) for file in files]
    images = read.normalise(torch.stack(pixels))
    columns = [torch.cat([network(batch) for batch in Resize(size)(images).split(25)]) for size in SIZES]
    macs = torch.tensor([count_network_macs(network, (1, 3, size, size)) for size in SIZES], dtype=torch.float64)
    labels = torch.tensor([places[file.name.split("_")[0]] for file in files])
    return Answered(torch.stack(columns, dim=1), labels, macs / macs[-1])


def test_half(answered: Answered, budget: float, seed: int) -> tuple[float, float, float]:
    """Returns cost and accuracy of the cascade for a budget on half of the images, and that of the best mix."""
    logits, labels, costs = answered
    fitting, testing = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)).chunk(2)
    probabilities = (logits / fit_temperatures(logits[fitting], labels[fitting])[:, None]).softmax(dim=2)
    plan = choose_cascade(
        probabilities[fitting],
        labels[fitting],
        [menu for length in (2, 3) for menu in itertools.combinations(range(len(SIZES)), length)],
        lambda menu: costs[list(menu)].cumsum(dim=0),
        answers="best",
        confidence="margin",
        budget=budget,
    )
    members = list(plan.members)
    answers, sure = judge_members(probabilities[:, members], "margin", average=plan.average)
    paid, policy = costs[members].cumsum(dim=0), NestedThresholds(plan.tradeoff.thresholds)
    knob = bisect_knob(lambda knob: float(paid[policy.decide(sure[fitting], knob)].mean()), budget, (0.0, 1.0))
    routes = policy.decide(sure[testing], knob)
    named = answers[testing].argmax(dim=2).gather(1, routes[:, None])[:, 0]
    alone = (logits[testing].argmax(dim=2) == labels[testing, None]).double()
    cost = float(paid[routes].mean())
    offers = [Offer(str(size), float(each), hits) for size, each, hits in zip(SIZES, costs, alone.T, strict=True)]
    mix = mix_at(offers, cost)
    assert mix is not None
    return cost, float((named == labels[testing]).double().mean()), mix.worth


if __name__ == "__main__":
    main()
