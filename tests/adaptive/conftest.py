"""Three tiny but real adaptive networks, one of each kind that the contract must serve, and data to judge them."""

import copy
from itertools import pairwise
from typing import NamedTuple

import pytest
import torch
from torch import nn

from modicum.adaptive.contract import AdaptiveNetwork, Policy, Routed, Stepped
from modicum.adaptive.costs import MenuCosts, UnitCosts
from modicum.adaptive.curve import sweep_knobs
from modicum.adaptive.evidence import Scored, executed_outcome, score, tabulate
from modicum.adaptive.execution import (
    Leaving,
    decide_and_run,
    decide_then_run,
    pass_exit,
    run_through_exits,
    select_run_scatter,
)
from modicum.adaptive.worth import MeanWorth
from modicum.measuring.counting import count_network_macs

# N samples, R routes, E exits, U blocks, K classes

NUM_SAMPLES = 40
NUM_CLASSES = 7
SIDE = 8  # px


def judge_hits(logits, labels):
    return MeanWorth(logits.argmax(dim=1) == labels)


class Priced(Policy):
    """argmax_j scores_j - knob * price_j."""

    def __init__(self, prices):
        self.prices = torch.tensor(prices, dtype=torch.float64)

    def decide(self, scores, knob):
        return (scores.double() - knob * self.prices).argmax(dim=1)

    def knob_range(self, scores):
        bound = 2 * float(scores.abs().max()) / float(self.prices.sort().values.diff().min()) + 1
        return -bound, bound


class Confident(Policy):
    """Leave at the first exit whose confidence is at least 1 - knob, else at the last."""

    def leaves(self, confidence, knob):
        return confidence.double() >= 1 - knob

    def decide(self, scores, knob):
        leaves = self.leaves(scores, knob)
        leaves[:, -1] = True
        return leaves.int().argmax(dim=1)

    def knob_range(self, scores):
        return -0.5, 1.0


class Kept(Policy):
    """Keep the blocks whose probability is at least the knob."""

    def decide(self, scores, knob):
        return scores.double() >= knob

    def knob_range(self, scores):
        return 0.0, 1.5


def conv(inputs, outputs, side=3):
    return nn.Sequential(nn.Conv2d(inputs, outputs, side, padding=side // 2), nn.ReLU())


def head(channels, outputs, gain):
    linear = nn.Linear(4 * channels, outputs)
    linear.weight.data *= gain  # without training, scores would hardly differ
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), linear)


class MenuNet(nn.Module):
    """Decided before: one of three branches of different width."""

    def __init__(self):
        super().__init__()
        self.scorer = head(3, 3, gain=4)
        self.parts = nn.ModuleList(nn.Sequential(conv(3, width), head(width, NUM_CLASSES, 8)) for width in (2, 16, 6))
        shape = (1, 3, SIDE, SIDE)
        per_route = tuple(float(count_network_macs(branch, shape)) for branch in self.parts)
        self.costs = MenuCosts(("slim", "wide", "middle"), per_route, float(count_network_macs(self.scorer, shape)))
        self.policy = Priced([cost / max(per_route) for cost in per_route])

    def scores(self, images):
        return self.scorer(images).log_softmax(dim=1)

    def run(self, images, routes):
        return select_run_scatter(images, routes, list(self.parts))

    def predict(self, images, knob):
        return decide_and_run(self, images, knob)

    def advance(self, group, knob):
        return decide_then_run(self, group, knob, self.costs.names)

    def plain_network(self):
        return copy.deepcopy(self.parts[1])

    def run_masked(self, images, routes):
        everything = torch.stack([branch(images) for branch in self.parts], dim=1)
        return (everything * nn.functional.one_hot(routes, 3)[:, :, None]).sum(dim=1)

    def samples_through_parts(self, routes):
        return [int((routes == route).sum()) for route in range(3)]


class ExitNet(nn.Module):
    """Decided during the run: three exits, each on the features of the one before."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList(conv(*widths) for widths in ((3, 4), (4, 6), (6, 8)))
        self.heads = nn.ModuleList(head(width, NUM_CLASSES, gain) for width, gain in ((4, 10), (6, 50), (8, 250)))
        shapes = [(1, width, SIDE, SIDE) for width in (3, 4, 6, 8)]
        stages = [count_network_macs(part, shape) for part, shape in zip(self.parts, shapes[:3], strict=True)]
        heads = [count_network_macs(part, shape) for part, shape in zip(self.heads, shapes[1:], strict=True)]
        upto = torch.tensor(stages).cumsum(0) + torch.tensor(heads).cumsum(0)
        self.costs = MenuCosts(("exit 1", "exit 2", "exit 3"), tuple(float(cost) for cost in upto))
        self.policy = Confident()

    def stage(self, index):
        def run(features):
            features = self.parts[index](features)
            return features, features

        return run

    def leaving(self, leaves):
        def leave(stage, rows, features):
            logits = self.heads[stage](features)
            mask = leaves(stage, rows, logits) | (stage == 2)
            return Leaving(mask, logits[mask] if mask.any() or not len(rows) else None)

        return leave

    def leaving_at(self, knob):
        return self.leaving(lambda stage, rows, logits: self.policy.leaves(logits.softmax(dim=1).amax(dim=1), knob))

    def stages(self):
        return [self.stage(index) for index in range(3)]

    def through(self, images, leave):
        return run_through_exits(images, self.stages(), leave)

    def all_exits(self, images):
        logits, features = [], images
        for part, exit_head in zip(self.parts, self.heads, strict=True):
            features = part(features)
            logits.append(exit_head(features))
        return torch.stack(logits, dim=1)  # (N, E, K)

    def scores(self, images):
        return self.all_exits(images).softmax(dim=2).amax(dim=2)

    def run(self, images, routes):
        return self.through(images, self.leaving(lambda stage, rows, logits: routes[rows] == stage)).outputs

    def predict(self, images, knob):
        logits, routes = self.through(images, self.leaving_at(knob))
        return Routed(logits, routes, self.costs.of(routes))

    def advance(self, group, knob):
        rows, exits, survivors = pass_exit(group, self.stages(), self.leaving_at(knob))
        finished = None if exits is None else Routed(*exits, self.costs.of(exits.routes))
        return Stepped(rows, finished, survivors)

    def plain_network(self):
        return AllExits(copy.deepcopy(self))

    def run_masked(self, images, routes):
        return (self.all_exits(images) * nn.functional.one_hot(routes, 3)[:, :, None]).sum(dim=1)

    def samples_through_parts(self, routes):
        return [int((routes >= index).sum()) for index in range(3)]


class AllExits(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network.all_exits(images)[:, -1]


class BlockNet(nn.Module):
    """Decided before, too many routes to list: each of six residual blocks is kept or dropped."""

    def __init__(self):
        super().__init__()
        self.scorer = nn.Sequential(head(3, 6, gain=4), nn.Sigmoid())
        self.stem, self.head = conv(3, 4), head(4, NUM_CLASSES, 8)
        self.parts = nn.ModuleList(conv(4, 4, side) for side in (3, 1, 3, 1, 3, 3))
        image, features = (1, 3, SIDE, SIDE), (1, 4, SIDE, SIDE)
        self.costs = UnitCosts(
            per_unit=tuple(float(count_network_macs(block, features)) for block in self.parts),
            floor=float(count_network_macs(self.stem, image) + count_network_macs(self.head, features)),
            decision=float(count_network_macs(self.scorer, image)),
        )
        self.policy = Kept()

    def scores(self, images):
        return self.scorer(images)

    def run(self, images, routes):
        features = self.stem(images)
        for block, keep in zip(self.parts, routes.T, strict=True):
            kept = lambda group, block=block: group + block(group)  # noqa: E731
            features = select_run_scatter(features, keep, [nn.Identity(), kept])
        return self.head(features)

    def predict(self, images, knob):
        return decide_and_run(self, images, knob)

    def advance(self, group, knob):
        return decide_then_run(self, group, knob)

    def plain_network(self):
        return EveryBlock(copy.deepcopy(self))

    def run_masked(self, images, routes):
        features = self.stem(images)
        for block, keep in zip(self.parts, routes.T, strict=True):
            features = features + keep[:, None, None, None] * block(features)
        return self.head(features)

    def samples_through_parts(self, routes):
        return routes.sum(dim=0).tolist()


class EveryBlock(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network.run_masked(images, torch.ones(len(images), 6, dtype=torch.bool, device=images.device))


class Case(NamedTuple):
    """A network, data, and everything that one pass over the data leaves behind."""

    model: AdaptiveNetwork
    images: torch.Tensor  # (N, 3, SIDE, SIDE)
    labels: torch.Tensor  # (N,)
    batches: list  # (images, labels) in batches of 16, 16 and 8
    scored: Scored
    table: object  # RouteTable, or None where routes are too many to list
    outcome: object
    knobs: list  # between decisions on these data, from all most expensive to all cheapest, so that rounding flips none

    def __repr__(self):
        return type(self.model).__name__


def make_case(network, seed):
    torch.manual_seed(seed)
    model = network().eval().requires_grad_(False)
    images = torch.randn(NUM_SAMPLES, 3, SIDE, SIDE) * torch.linspace(0.3, 2, NUM_SAMPLES)[:, None, None, None]
    right = model.plain_network()(images).argmax(dim=1)
    labels = torch.where(torch.rand(NUM_SAMPLES) < 0.7, right, torch.randint(NUM_CLASSES, (NUM_SAMPLES,)))
    batches = list(zip(images.split(16), labels.split(16), strict=True))
    scored = score(model, batches, tuple(f"image{i}" for i in range(NUM_SAMPLES)))
    table = None if model.costs.menu() is None else tabulate(model, batches, judge_hits)
    outcome = executed_outcome(model, batches, judge_hits) if table is None else table.outcome
    ends = model.policy.knob_range(scored.scores)
    steps = sweep_knobs(scored, model.policy, model.costs, 9)
    between = [(low + high) / 2 for low, high in pairwise(steps)]
    return Case(model, images, labels, batches, scored, table, outcome, [ends[0], *between, ends[1]])


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Networks this small only lose time to threads that wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def menu_case():
    return make_case(MenuNet, seed=0)


@pytest.fixture(scope="session")
def exit_case():
    return make_case(ExitNet, seed=1)


@pytest.fixture(scope="session")
def block_case():
    return make_case(BlockNet, seed=2)


@pytest.fixture(scope="session", params=["menu_case", "exit_case", "block_case"])
def case(request):
    """Each of the three kinds of adaptive networks in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session", params=["menu_case", "exit_case"])
def listed_case(request):
    """Each of those whose routes can be listed."""
    return request.getfixturevalue(request.param)
