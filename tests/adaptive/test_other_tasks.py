"""Tasks that are no classification: detection in lists of pictures of mixed size, windows, restoration."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from modicum.adaptive.calibration import calibrate, describe_share, relative_budget
from modicum.adaptive.contract import Group, Policy
from modicum.adaptive.costs import CostTable, MenuCosts
from modicum.adaptive.curve import cost_at, oracle_point, trace_curve
from modicum.adaptive.efficiency import mean_macs, measure_efficiency, measure_route_times
from modicum.adaptive.evidence import cached, executed_outcome, score, tabulate
from modicum.adaptive.execution import decide_and_run, decide_then_run, group_rows
from modicum.adaptive.knobs import BudgetError
from modicum.adaptive.samples import take
from modicum.adaptive.worth import MeanWorth, SetWorth, bootstrap_interval
from modicum.measuring.counting import count_macs

# N samples, R routes, H W pixels

IDS = tuple(f"picture {number}" for number in range(24))


def average_precision(answers):
    """Area under precision over recall of spots found in all pictures; 1 where there is nothing to find or found."""
    found, wanted = torch.cat([found for found, _ in answers]), sum(number for _, number in answers)
    if not wanted:
        return float(not len(found))
    right = found[found[:, 0].argsort(descending=True, stable=True), 1]
    precision = right.cumsum(0) / torch.arange(1, len(right) + 1)
    return float((precision * right).sum() / wanted)


def judge_spots(outputs, targets):
    """Of each picture: what was found, as (confidence, whether it is a spot), and how many spots there are."""
    rows = zip(outputs, targets, strict=True)
    answers = [
        (torch.stack([bright, target[spot].double()], dim=1), int(target.sum())) for (spot, bright), target in rows
    ]
    return SetWorth(answers, average_precision)


class Priced(Policy):
    """argmax_j scores_j - knob * price_j."""

    prices = torch.tensor([1.0, 0.25])

    def decide(self, scores, knob):
        return (scores.double() - knob * self.prices).argmax(dim=1)

    def knob_range(self, scores):
        return -100.0, 100.0


class Detector(nn.Module):
    """Looks for spots in a list of pictures (H, W), at full size or, cheaper and coarser, at half size."""

    def __init__(self):
        super().__init__()
        self.smooth = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        self.smooth.weight.data.fill_(1 / 9)
        self.policy, self.costs = Priced(), MenuCosts(("full", "half"), (9 * 256.0, 9 * 64.0))
        self.calls = []

    def scores(self, pictures):
        return torch.stack([torch.stack([picture.std(), picture.new_zeros(())]) for picture in pictures])

    def look(self, picture, route):
        seen = picture[:: route + 1, :: route + 1]
        brightness = (seen - self.smooth(seen[None, None])[0, 0]).flatten().double()
        spots = brightness.topk(3).indices
        rows, columns = spots // seen.shape[1] * (route + 1), spots % seen.shape[1] * (route + 1)
        return rows * picture.shape[1] + columns, brightness[spots]

    def run(self, pictures, routes):
        found = [None] * len(pictures)
        for route, rows in group_rows(routes, 2):
            self.calls.append((route, len(rows)))
            for row, picture in zip(rows.tolist(), take(pictures, rows), strict=True):
                found[row] = self.look(picture, route)
        return found

    def predict(self, pictures, knob):
        return decide_and_run(self, pictures, knob)

    def advance(self, group, knob):
        return decide_then_run(self, group, knob, self.costs.names)


@pytest.fixture(scope="module")
def pictures():
    """Pictures of 256 pixels in several shapes, each with three spots among noise, and where the spots are."""
    generator, pictures, targets = torch.Generator().manual_seed(0), [], []
    for number in range(24):
        shape = [(16, 16), (8, 32), (32, 8)][number % 3]
        spots = torch.randperm(256, generator=generator)[:3]
        target = torch.zeros(256, dtype=torch.bool).index_fill(0, spots, True)
        noise = torch.randn(256, generator=generator) * (0.1 + 0.04 * number)
        pictures.append((noise + 3 * target).reshape(shape))
        targets.append(target)
    return pictures, targets


@pytest.fixture(scope="module")
def detection(pictures):
    """A detector with what one pass leaves: scores, table and batches of lists."""
    model, (inputs, targets) = Detector().eval(), pictures
    batches = [(inputs[at : at + 10], targets[at : at + 10]) for at in (0, 10, 20)]
    return model, batches, score(model, batches, IDS), tabulate(model, batches, judge_spots)


class TestDetector:
    def test_curve_is_that_of_the_set_measure(self, detection):
        model, batches, scored, table = detection
        curve = trace_curve(scored, table.outcome, model.policy, model.costs, table=table, num_points=5, num_shuffles=3)
        executed = executed_outcome(model, batches, judge_spots)
        for point in curve.routed:
            routes = model.policy.decide(scored.scores, point.knob)
            assert point.worth == average_precision(executed(routes).answers)
            assert point.low <= point.worth <= point.high
        full, half = curve.static
        assert (full.name, half.name) == ("always full", "always half")
        assert half.worth < full.worth
        assert cost_at(curve.routed, full.worth) <= full.cost

    def test_set_measure_is_no_mean_of_its_samples(self, detection):
        *_, table = detection
        assert table.per_route[0].total() != pytest.approx(float(table.per_route[0].each().mean()), abs=1e-3)

    def test_oracle_takes_the_cheapest_of_the_best(self, detection):
        model, *_, table = detection
        oracle = oracle_point(table, model.costs)
        full, half = table.each().T
        assert oracle.shares.get("half", 0.0) == float((half >= full).double().mean())
        assert oracle.cost == float(torch.where(half >= full, 9 * 64.0, 9 * 256.0).double().mean())

    def test_calibration_meets_its_target(self, detection):
        model, _, scored, table = detection
        found = calibrate(scored, table.outcome, model.policy, model.costs, relative_budget(0.6, model.costs))
        assert found.achieved <= found.target == 0.6 * model.costs.plain
        assert found.worth == table.outcome(model.policy.decide(scored.scores, found.knob)).total()

    def test_cost_is_what_is_executed(self, detection, pictures):
        model = detection[0]
        routed = model.predict(pictures[0], 0.9)
        assert float(routed.macs.sum()) == count_macs(lambda: model.run(pictures[0], routed.routes))

    def test_steps_are_shared_by_pictures_of_mixed_size(self, detection, pictures):
        model, (inputs, _) = detection[0], pictures
        decided = model.advance(Group.join([Group.start(inputs[:8]), Group.start(inputs[8:])]), 0.9)
        assert {group.key for group in decided.survivors} == {"full", "half"}
        expected = model.predict(inputs, 0.9)
        for group in decided.survivors:
            rows, finished, survivors = model.advance(group, 0.9)
            assert survivors == []
            assert finished.routes.tolist() == expected.routes[rows].tolist()
            torch.testing.assert_close(finished.outputs, take(expected.outputs, rows))

    def test_clock_takes_lists(self, detection, pictures):
        model, (inputs, _) = detection[0], pictures
        everything = lambda batch: model.run(batch, torch.zeros(len(batch), dtype=torch.int64))  # noqa: E731
        (row,) = measure_efficiency(model, everything, inputs, [7], knob=0.9, rounds=1)
        assert row.saved_in_theory == 1 - mean_macs(model, inputs, 0.9) / model.costs.plain
        times = measure_route_times(model, everything, inputs[:2], 5, rounds=1)
        assert times.unit == "ms"
        assert model.calls[-1] == (1, 5)  # two pictures, repeated


class Windowed(CostTable):
    """Routes are lists of windows (W, 4): a pixel costs a multiply-add; all windows together are no answer."""

    unit, decision, plain = "MAC", 256.0, None

    def of(self, routes):
        return torch.stack([(own[:, 2] * own[:, 3]).sum().double() for own in routes]) + self.decision

    def names(self, routes):
        return [f"{len(own)} windows" for own in routes]

    def menu(self):
        return None

    def in_milliseconds(self, milliseconds, decision, plain):
        raise NotImplementedError


class Bright(Policy):
    """Looks closer at the quarters that are brighter than the knob."""

    def decide(self, scores, knob):
        corners = torch.tensor([[0, 0, 8, 8], [0, 8, 8, 8], [8, 0, 8, 8], [8, 8, 8, 8]])
        return [corners[own > knob] for own in scores]

    def knob_range(self, scores):
        return float(scores.min()) - 1, float(scores.max())


class TestWindows:
    """Routes are lists of windows, a different number for each sample."""

    policy, costs = Bright(), Windowed()
    scored = score(
        type(
            "Scorer", (), {"scores": lambda self, texts: torch.tensor([[float(c) for c in text] for text in texts])}
        )(),
        [(["1234", "4400"], [0, 0]), (["9110"], [0])],
        ("a", "b", "c"),
    )

    @staticmethod
    def outcome(routes):
        return MeanWorth(torch.tensor([float(len(own)) for own in routes]))

    def test_curve_and_calibration_take_them(self):
        curve = trace_curve(self.scored, cached(self.outcome), self.policy, self.costs, num_points=5, num_shuffles=4)
        assert curve.routed[0].shares == {"4 windows": 1.0}
        assert curve.routed[-1].shares == {"0 windows": 1.0}
        assert all(left.cost > right.cost for left, right in pairwise(curve.routed))
        assert [point.worth for point in curve.random] == pytest.approx([point.worth for point in curve.routed])
        calibration = calibrate(self.scored, self.outcome, self.policy, self.costs, 400.0)
        assert (calibration.plain, calibration.achieved <= 400) == (None, True)

    def test_costs_are_no_shares_without_a_plain_network(self):
        for refused in (lambda: relative_budget(0.5, self.costs), lambda: describe_share(self.costs)):
            with pytest.raises(BudgetError, match="costs are no shares: state MAC"):
                refused()


class Restorer(nn.Module):
    """Averages 1, 2 or 4 noisy copies (N, 4, H, W) of a picture."""

    def __init__(self):
        super().__init__()
        self.costs = MenuCosts(("4 copies", "1 copy", "2 copies"), (4.0, 1.0, 2.0))

    def run(self, copies, routes):
        counts = torch.tensor([4, 1, 2])[routes]
        return torch.stack([own[:count].mean(dim=0) for own, count in zip(copies, counts, strict=True)])


def decibels(outputs, targets):
    """Peak signal-to-noise ratio of each picture."""
    return MeanWorth(-10 * (outputs - targets).square().mean(dim=(1, 2)).log10())


def test_restorer_is_judged_in_decibels():
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(50, 8, 8, generator=generator)
    copies = clean[:, None] + 0.1 * torch.randn(50, 4, 8, 8, generator=generator)
    model, scores = Restorer(), copies.std(dim=1).mean(dim=(1, 2))[:, None]
    table = tabulate(model, [(copies[:30], clean[:30]), (copies[30:], clean[30:])], decibels)
    gain = table.per_route[0].total() - table.per_route[1].total()
    assert gain == pytest.approx(10 * torch.tensor(4.0).log10().item(), abs=0.4)  # four times less noise power
    low, high = bootstrap_interval(table.per_route[0])
    assert low < table.per_route[0].total() < high
    assert high - low == pytest.approx(4 * table.per_route[0].values.std().item() / 50**0.5, rel=0.1)
    assert table.each()[:, [1, 2, 0]].diff(dim=1).mean(dim=0).gt(2).all()  # each doubling is worth 3 dB
    assert scores.shape == (50, 1)
