"""Simple rivals of a network, from what its fixed routes said of calibration and test images."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modicum.adaptive.costs import MenuCosts, UnitCosts
from modicum.adaptive.curve import Curve, Point
from modicum.adaptive.worth import MeanWorth
from modicum.classify.evaluation import read_contestants
from modicum.classify.evidence import Baseline, point_to_json
from modicum.classify.fixed_routes import FixedRoutes, listed_routes, nested_keeps
from modicum.classify.rival_cascade import Known
from modicum.classify.rivals import Contest, scatter_hits
from modicum.storage import RunError, RunFolder
from modicum.storage.sealing import write_sealed

# Most expensive first, as networks list them; the decision is no part of what a static route costs.
COSTS = MenuCosts(("large", "small"), (4.0, 1.0), decision=0.5)
EMPTY = Curve("MAC", 200, (), (), (), None, ())
POINT = Point("plain network", 4.0, 0.75, 0.7, 0.8)


def known(seed, tells=True):
    """200 images; the small route is right on 6 of 10 and knows on which, the large one on all."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (200,), generator=generator)
    is_right = torch.arange(200) % 10 < 6
    named = torch.where(is_right, labels, (labels + 1) % 3)
    small, large = torch.zeros(200, 3), torch.zeros(200, 3)
    small[torch.arange(200), named] = torch.where(is_right, 5.0, 1.0)
    large[torch.arange(200), labels] = 5.0
    logs = torch.stack([small, large], dim=1).log_softmax(dim=2)
    return Known(logs, logs.argmax(dim=2) == labels[:, None], labels)


def contest(work="apart", baselines=()):
    fixed = listed_routes(COSTS, work)
    return Contest(COSTS, fixed, None if work == "own cascade" else known(0), known(1), baselines)


def kinds(standings):
    return {rival.kind: rival for rival in standings.rivals}


def test_all_rivals_are_read_off_at_the_mean_cost_of_the_network():
    hits = torch.arange(200) % 10 < 9
    _, standings = contest().stand(EMPTY, COSTS, 2.6, hits)
    rivals = kinds(standings)
    assert (rivals["static"].name, rivals["static"].worth) == ("small", pytest.approx(0.6))
    # The rest of the cost, 1.6 of 3, buys the large route on 53 % of the images.
    assert (rivals["mix"].name, rivals["mix"].worth) == ("mix of small and large", pytest.approx(0.6 + 0.4 * 1.6 / 3))
    # 40 % of the images go on and pay 4 more: 1 + 0.4 * 4 = 2.6, and all are right.
    assert (rivals["cascade"].name, rivals["cascade"].worth) == ("cascade of small, large", pytest.approx(1.0))
    assert standings.strongest == rivals["cascade"]
    assert standings.strongest.gain == pytest.approx(-0.1)


def test_work_that_goes_on_is_paid_once():
    curve, _ = contest("continued").stand(EMPTY, COSTS, 2.6, torch.ones(200))
    assert curve.cascade[0].cost == pytest.approx(4.0)
    apart, _ = contest("apart").stand(EMPTY, COSTS, 2.6, torch.ones(200))
    assert apart.cascade[0].cost == pytest.approx(5.0)


def test_a_mix_of_one_network_is_no_rival_of_its_own():
    _, standings = contest().stand(EMPTY, COSTS, 4.0, torch.ones(200))
    assert {kind: rival.name for kind, rival in kinds(standings).items() if kind != "cascade"} == {"static": "large"}


def test_no_cascade_is_made_of_the_steps_of_one():
    curve, standings = contest("own cascade").stand(EMPTY, COSTS, 2.6, torch.ones(200))
    assert curve.cascade == ()
    assert set(kinds(standings)) == {"static", "mix"}


def test_fixed_routes_are_drawn_as_static_points_where_a_curve_has_none():
    curve, _ = contest().stand(EMPTY, COSTS, 2.6, torch.ones(200))
    assert [(point.name, point.cost) for point in curve.static] == [("always large", 4.0), ("always small", 1.0)]
    given_points = (replace(POINT, name="always any"),)
    curve, _ = contest().stand(replace(EMPTY, static=given_points), COSTS, 2.6, torch.ones(200))
    assert curve.static == given_points


def test_baselines_are_rivals_and_in_milliseconds_only_with_a_time():
    same, other = (
        Baseline(POINT, torch.ones(200).bool()),
        Baseline(Point("middle", 2.0, 1.0, 1.0, 1.0), torch.ones(200).bool()),
    )
    held = contest(baselines=(same, other))
    assert held.without_route() == ("middle",)
    in_ms = MenuCosts(COSTS.route_names, (40.0, 10.0), unit="ms")
    _, counted = held.stand(EMPTY, COSTS, 2.6, torch.ones(200))
    assert kinds(counted)["static"].name == "middle"
    _, untimed = held.stand(EMPTY, in_ms, 45.0, torch.ones(200))
    assert untimed.untimed == ("middle",)
    assert kinds(untimed)["static"].name in ("plain network", "large")
    _, timed = held.stand(EMPTY, in_ms, 25.0, torch.ones(200), {"middle": 20.0})
    assert (timed.untimed, kinds(timed)["static"].name) == ((), "middle")


def test_nothing_stands_where_all_is_dearer():
    _, standings = contest().stand(EMPTY, COSTS, 0.9, torch.ones(200))
    assert standings.rivals == ()
    assert standings.strongest is None


@given(st.integers(0, 50), st.integers(1, 50))
def test_scattered_hits_have_the_accuracy_that_is_known(right, num_images):
    right = min(right, num_images)
    hits = scatter_hits(replace(POINT, worth=right / num_images), num_images)
    assert (len(hits), int(hits.sum())) == (num_images, right)


class TestFixedRoutes:
    def test_paths_are_nested_keep_what_is_kept_most_readily_and_end_with_all(self):
        scores = torch.tensor([[0.1, 0.9, 0.5, 0.7]]).repeat(3, 1)
        assert nested_keeps(scores, 4).int().tolist() == [[0, 1, 0, 0], [0, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1]]

    def test_few_blocks_give_few_paths(self):
        assert nested_keeps(torch.rand(3, 2), 4).sum(dim=1).tolist() == [1, 2]

    def test_keep_vectors_are_priced_without_the_decision(self):
        costs = UnitCosts((2.0, 3.0), floor=1.0, decision=10.0)
        fixed = FixedRoutes(torch.tensor([[True, False], [True, True]]), "apart")
        assert fixed.costs(costs).tolist() == [3.0, 6.0]
        assert fixed.cascade_costs(costs, (0, 1)).tolist() == [3.0, 9.0]

    def test_menus_that_cannot_be_listed_give_no_routes(self):
        assert listed_routes(UnitCosts((2.0,), floor=1.0), "apart") is None


class TestStoredBaselines:
    @pytest.fixture
    def run(self, tmp_path):
        return RunFolder.create(tmp_path / "run", system="any", recipe_text="", command="", versions={})

    def test_hits_on_single_images_are_read_in_their_order(self, run):
        write_sealed(run.baselines, {"points": [point_to_json(POINT)], "hits": ["1101"]})
        (baseline,), unpaired = read_contestants(run, 4)
        assert (baseline.point, unpaired) == (POINT, ())
        assert baseline.hits.tolist() == [True, True, False, True]

    def test_older_record_is_read_and_its_baselines_are_named_as_unpaired(self, run):
        write_sealed(run.baselines, {"points": [point_to_json(POINT)]})
        (baseline,), unpaired = read_contestants(run, 40)
        assert unpaired == ("plain network",)
        assert int(baseline.hits.sum()) == 30

    def test_record_of_other_test_images_is_refused(self, run):
        write_sealed(run.baselines, {"points": [point_to_json(POINT)], "hits": ["1101"]})
        with pytest.raises(RunError, match=r"baselines\.json was made on other test images"):
            read_contestants(run, 5)

    def test_run_without_baselines_has_none(self, run):
        assert read_contestants(run, 5) == ((), ())


def test_baseline_has_the_point_of_its_hits():
    baseline = Baseline.of("plain network", MeanWorth(torch.tensor([True, False, True, True])), 4.0)
    assert (baseline.point.worth, baseline.point.cost) == (0.75, 4.0)
