from dataclasses import replace

import pytest
import torch
from torch import nn

from modicum.adaptive.costs import UnitCosts
from modicum.adaptive.curve import Point
from modicum.adaptive.evidence import score
from modicum.classify import retiming
from modicum.classify.drnet.network import DRNet
from modicum.classify.evidence import Baseline, Judged, tabulate_answers
from modicum.classify.fixed_routes import separate_routes as fixed_routes
from modicum.classify.retiming import Subject, retime
from modicum.classify.rival_cascade import Known
from modicum.classify.rivals import Contest
from modicum.classify.static.network import rebuild_static

BATCH = 4
BASELINES = (Baseline(Point("thumbnail", 1.0, 0.5, 0.4, 0.6), torch.tensor([True, False] * 3)),)


@pytest.fixture(scope="module")
def subject_of(evaluation):
    """Function from a network for 32 px and 3 classes to a run of it on six images."""
    images = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels, ids = torch.arange(6) % 3, tuple("abcdef")
    batches = [(images, labels)]

    def make(model):
        answers = tabulate_answers(model.eval(), batches)
        judged = Judged(score(model, batches, ids), labels, answers, answers.hits.outcome)
        curve = judged.curve(model.policy, model.costs, num_shuffles=3)
        calibration = replace(evaluation.calibration, knob=curve.routed[-1].knob)
        known = Known.of(answers, labels, fixed_routes(model, judged.scored.scores).routes)
        contest = Contest(model.costs, fixed_routes(model, judged.scored.scores), known, known, BASELINES)
        alone = {"thumbnail": nn.AdaptiveAvgPool2d(1)}
        return Subject(replace(evaluation, curve=curve, calibration=calibration), model, images, judged, contest, alone)

    return make


@pytest.fixture(scope="module")
def family(subject_of):
    torch.manual_seed(0)
    return subject_of(rebuild_static(["digit_resnet", "photo_resnet"], num_classes=3, image_px=32))


@pytest.fixture(scope="module")
def routed(subject_of):
    torch.manual_seed(0)
    return subject_of(DRNet("digit_resnet", num_classes=3, resolutions=(32, 16), predictor="small"))


@pytest.fixture
def fake_clock(monkeypatch):
    """What was timed, in one list per call; route k is given k + 1 ms per image, the rest 10 ms."""
    calls = []

    def clock(runs, *, rounds):
        calls.append(list(runs))
        for run in runs.values():
            run()
        words = {name: name.split()[1:] for name in runs}
        return {name: BATCH * (int(word[1]) + 1 if word[0] == "route" else 10) / 1000 for name, word in words.items()}

    monkeypatch.setattr(retiming, "time_in_turn", clock)
    return calls


def test_all_runs_are_timed_in_one_go(family, routed, fake_clock):
    retime([family, routed], batch_size=BATCH)
    first = ["0 route 0", "0 route 1", "0 plain", "0 routed", "0 alone thumbnail"]
    second = ["1 route 0", "1 route 1", "1 plain", "1 routed", "1 alone thumbnail", "1 decision"]
    assert fake_clock == [[*first, *second]]


def test_each_route_gets_its_own_time(family, fake_clock):
    (result,) = retime([family], batch_size=BATCH)
    assert {point.name: point.cost for point in result.curve_ms.static} == {
        "always photo_resnet": 1.0,
        "always digit_resnet": 2.0,
    }


def test_decision_is_paid_on_every_route(routed, fake_clock):
    (result,) = retime([routed], batch_size=BATCH)
    assert all(11.0 <= point.cost <= 12.0 for point in result.curve_ms.routed)


def test_rivals_of_equal_time_are_made_of_these_times(routed, fake_clock):
    (result,) = retime([routed], batch_size=BATCH)
    standings = result.standing_in("ms")
    assert 11.0 <= standings.cost <= 12.0
    assert standings.untimed == ()
    # 32 px take 1 ms and 16 px 2 ms, one after the other 3 ms; the baseline's own network takes 10 ms.
    assert (result.curve_ms.cascade[0].cost, result.curve_ms.cascade[-1].cost) == (3.0, 2.0)
    assert {rival.kind for rival in standings.rivals} >= {"static", "cascade"}


def test_accuracies_and_knobs_are_those_of_the_multiply_adds(family):
    (result,) = retime([family], batch_size=BATCH, rounds=1)
    assert result.curve == family.evaluation.curve
    for timed, counted in zip(result.curve_ms.routed, result.curve.routed, strict=True):
        assert (timed.knob, timed.worth) == (counted.knob, counted.worth)
        assert timed.cost > 0


def test_clock_compares_with_the_plain_network_at_the_common_batch_size(family):
    (result,) = retime([family], batch_size=BATCH, rounds=1)
    (row,) = result.efficiency
    assert row.batch_size == BATCH
    assert row.saved_on_clock == pytest.approx(1 - row.routed_ms / row.plain_ms)
    assert row.saved_in_theory == pytest.approx(1 - result.curve.routed[-1].cost / family.model.costs.plain)


def test_routes_of_keep_vectors_are_asked_for_in_the_order_they_are_priced():
    costs = UnitCosts(per_unit=(2.0, 5.0), floor=1.0)
    routes = retiming._timed_routes(costs)
    truth = {tuple(route[0].tolist()): float(costs.of(route)) for route in routes}
    times = iter(truth.values())
    priced = costs.in_milliseconds(lambda _: next(times), 0.0, 9.0)
    assert (priced.floor, priced.per_unit) == (1.0, (2.0, 5.0))
