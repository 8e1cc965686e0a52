"""Cascades of fixed routes on populations whose right answer is known."""

import pytest
import torch

from modicum.adaptive.rivals import Offer, between, mix_at
from modicum.classify.rival_cascade import MOST_CANDIDATES, Cascade, Known, cascade_settings, fit_cascade

COSTS = torch.tensor([1.0, 4.0], dtype=torch.float64)
NUM_CLASSES = 5


def population(count, rates, *, tells, seed):
    """Images on which each route is right at its rate; its confidence ``tells`` that, or is drawn by lot."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(NUM_CLASSES, (count,), generator=generator)
    logs = []
    for rate in rates:
        right = torch.rand(count, generator=generator) < rate
        shift = torch.randint(1, NUM_CLASSES, (count,), generator=generator)
        named = torch.where(right, labels, (labels + shift) % NUM_CLASSES)
        by_lot = torch.rand(count, generator=generator) < 0.5
        sharpness = torch.where(right if tells else by_lot, 6.0, 1.5)
        logits = torch.zeros(count, NUM_CLASSES)
        logits[torch.arange(count), named] = sharpness
        logs.append(logits.log_softmax(dim=1))
    table = torch.stack(logs, dim=1)
    return Known(table, table.argmax(dim=2) == labels[:, None], labels)


def price(members):
    return COSTS[list(members)].cumsum(dim=0)


def statics(known):
    return [
        Offer(str(route), float(COSTS[route]), known.hits[:, route].double()) for route in range(known.hits.shape[1])
    ]


def against_mix(tells, budget=2.5):
    """Accuracies of cascade and best mix on other images of the same population, at equal cost."""
    rates = (0.7, 0.95)
    known, test = (population(3000, rates, tells=tells, seed=seed) for seed in (0, 1))
    cascade = fit_cascade(known, price, budget)
    settings = cascade_settings(cascade, test, price(cascade.members), "cascade")
    return between(settings, budget), mix_at(statics(test), budget)


def test_confidence_that_knows_who_is_wrong_makes_the_cascade_win():
    cascade, mix = against_mix(tells=True)
    assert cascade.cost == pytest.approx(2.5)
    assert cascade.worth > 0.97  # 30 % go on, to a route that is right on 95 %: 98.5 % at 1 + 0.3 * 4 = 2.2
    assert mix.worth == pytest.approx(0.825, abs=0.02)


def test_useless_confidence_makes_no_cascade_win():
    cascade, mix = against_mix(tells=False)
    assert cascade.worth < mix.worth + 0.01


def test_settings_cost_ever_more_and_the_most_expensive_runs_all_members_on_all():
    known = population(500, (0.6, 0.9), tells=True, seed=2)
    cascade = fit_cascade(known, price, 3.0)
    settings = cascade_settings(cascade, known, price(cascade.members), "cascade")
    costs = [offer.cost for offer in settings]
    assert costs == sorted(costs)
    assert (costs[0], costs[-1]) == (1.0, 5.0)


def test_thresholds_follow_calibration_images_and_never_those_it_is_tested_on():
    known = population(400, (0.7, 0.95), tells=True, seed=3)
    cascade = fit_cascade(known, price, 2.5)
    again = fit_cascade(known, price, 2.5)
    assert torch.equal(cascade.thresholds, again.thresholds)
    before = [
        offer.cost for offer in cascade_settings(cascade, population(50, (0.7, 0.95), tells=True, seed=4), COSTS, "")
    ]
    wrong = population(50, (0.7, 0.95), tells=True, seed=4)
    relabelled = wrong._replace(labels=(wrong.labels + 1) % NUM_CLASSES)
    assert before == [offer.cost for offer in cascade_settings(cascade, relabelled, COSTS, "")]


def test_member_that_only_costs_is_not_chosen():
    good = population(600, (0.8, 0.97), tells=True, seed=5)
    useless = population(600, (0.2,), tells=False, seed=6)
    order = torch.tensor([0, 2, 1])
    known = Known(
        torch.cat([good.logs, useless.logs], dim=1)[:, order],
        torch.cat([good.hits, (useless.logs.argmax(dim=2) == good.labels[:, None])], dim=1)[:, order],
        good.labels,
    )
    costs = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    cascade = fit_cascade(known, lambda members: costs[list(members)].cumsum(dim=0), 2.5)
    assert cascade.members == (0, 2)


def test_half_precision_and_chunks_change_no_decision(monkeypatch):
    known = population(300, (0.7, 0.9), tells=True, seed=7)
    cascade = fit_cascade(known, price, 2.5)
    whole = cascade.judge(known)
    monkeypatch.setattr("modicum.classify.rival_cascade.CHUNK", 2 * NUM_CLASSES * 7)
    sure, hits = cascade.judge(known._replace(logs=known.logs.half()))
    assert torch.equal(hits, whole[1])
    assert torch.allclose(sure, whole[0], atol=1e-3)


def test_exits_equal_those_sample_by_sample():
    cascade = Cascade((0, 1, 2), False, torch.ones(3), torch.tensor([[1e8, 1e8], [0.8, 0.5], [0.0, 0.0]]))
    sure = torch.tensor([[0.8, 0.9, 0.1], [0.79, 0.5, 0.1], [0.1, 0.1, 0.1]])
    assert cascade.exits(sure).tolist() == [[2, 2, 2], [0, 1, 2], [0, 0, 0]]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_handful_of_calibration_images_is_enough_to_fit_something(count):
    cascade = fit_cascade(population(count, (0.7, 0.9), tells=True, seed=8), price, 2.5)
    assert cascade.members == (0, 1)


def test_of_many_routes_a_spread_is_tried_and_both_ends_are_in_it(monkeypatch):
    tried = set()
    costs = torch.arange(1.0, 31.0, dtype=torch.float64)

    def note(members):
        tried.update(members)
        return costs[list(members)].cumsum(dim=0)

    fit_cascade(population(40, [0.5] * 30, tells=True, seed=9), note, 20.0)
    assert len(tried) == MOST_CANDIDATES
    assert {0, 29} <= tried
