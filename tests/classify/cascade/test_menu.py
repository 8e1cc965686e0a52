import itertools

import pytest
import torch
from torch.testing import assert_close

from modicum.adaptive.cascades import Tradeoff, fit_thresholds
from modicum.classify.cascade.menu import Plan, choose_plan, judge_members, plan_cascades

LABELS = torch.tensor([0, 1] * 100)
SURE, UNSURE = torch.tensor([0.95, 0.05]), torch.tensor([0.55, 0.45])


def answers(right, probability=SURE):
    """Probabilities (200, 2): the label gets the larger where ``right``."""
    picks = torch.where(right, LABELS, 1 - LABELS)
    return torch.stack([probability.flip(0) if pick else probability for pick in picks.tolist()])


def price(menu):
    return torch.tensor([[0.1, 1.0][place] for place in menu], dtype=torch.float64).cumsum(0)


def test_cascade_is_chosen_where_the_small_member_knows_when_it_is_wrong():
    easy = torch.arange(200) < 150
    small = torch.where(easy[:, None], answers(easy), answers(easy, UNSURE))
    table = torch.stack([small, answers(torch.ones(200, dtype=torch.bool))], dim=1)
    plan = choose_plan(plan_cascades(table, LABELS, [(0,), (1,), (0, 1)], price, averages=(False,)), 0.5)
    assert plan.members == (0, 1)
    assert float(plan.tradeoff.worths[plan.tradeoff.costs <= 0.5].max()) == 1.0


def test_plain_network_is_chosen_where_the_other_members_bring_nothing():
    right = torch.arange(200) < 150
    table = torch.stack([answers(right), answers(right)], dim=1)
    plan = choose_plan(plan_cascades(table, LABELS, [(0,), (1,), (0, 1)], price, averages=(True, False)), 1.0)
    assert plan.members == (0,)


def test_accuracy_around_a_budget_that_nothing_meets_is_none():
    plan = Plan((0,), False, Tradeoff(torch.empty(1, 0), torch.tensor([1.0]), torch.tensor([0.9])))
    assert plan.accuracy_around(0.5) == 0.0
    assert plan.accuracy_around(2.0) == pytest.approx(0.9)


def test_averages_are_over_the_members_so_far():
    table = torch.rand(5, 3, 4).softmax(dim=2)
    judged, sure = judge_members(table, "margin", average=True)
    assert_close(judged[:, 1], table[:, :2].mean(dim=1))
    best = judged[:, 1].topk(2, dim=1).values
    assert_close(sure[:, 1], best[:, 0] - best[:, 1])


def candidates(count, samples):
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(samples, count, 5, generator=generator), torch.arange(samples) % 5
    logits[torch.arange(samples), :, labels] += 2
    return logits.softmax(dim=2), labels


@pytest.mark.parametrize("confidence", ["margin", "probability", "entropy", "agreement"])
@pytest.mark.parametrize("average", [True, False])
def test_every_menu_is_judged_as_by_itself_whatever_menus_come_before(confidence, average):
    table, labels = candidates(4, 50)
    costs = torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64)
    menus = [menu for size in (3, 1, 2) for menu in itertools.combinations(range(4), size)]
    plans = plan_cascades(
        table, labels, menus, lambda menu: costs[list(menu)].cumsum(0), confidence=confidence, averages=(average,)
    )
    assert sorted(plan.members for plan in plans) == sorted(menus)
    for plan in plans:
        judged, sure = judge_members(table[:, list(plan.members)], confidence, average=average)
        hits = judged.argmax(dim=2) == labels[:, None]
        alone = fit_thresholds(sure, hits, costs[list(plan.members)].cumsum(0))
        assert_close(plan.tradeoff.worths, alone.worths)
        assert_close(plan.tradeoff.costs, alone.costs)


def test_budgets_below_the_cheapest_member_do_not_count_against_a_plan():
    plan = Plan((0,), False, Tradeoff(torch.empty(1, 0), torch.tensor([0.4]), torch.tensor([0.9])))
    assert plan.accuracy_around(0.5) < 0.9
    assert plan.accuracy_around(0.5, 0.4) == pytest.approx(0.9)
