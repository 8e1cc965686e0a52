"""What every registered classifier must do beside the contract of all systems."""

import functools
import json
import math
import shutil

import pytest
import torch

from modicum import cli, verbs
from modicum.adaptive.guarantee import GuaranteeError
from modicum.adaptive.knobs import BudgetError, KnobError
from modicum.classify.report import evaluation_report
from modicum.classify.results import evaluation_from_json, read_evaluation
from modicum.storage import RecipeError
from modicum.systems import SYSTEMS

CLASSIFIERS = [system.id for system in SYSTEMS.values() if system.wing == "classify"]
pytestmark = [pytest.mark.parametrize("name", CLASSIFIERS), pytest.mark.usefixtures("hurried")]


def test_curve_stands_beside_all_baselines_that_its_kind_of_route_allows(name, quick_run):
    curve = json.loads((quick_run(name) / "curve.json").read_text())["curve"]
    assert curve["routed"]
    assert curve["random"]
    assert curve["plain"]
    has_menu = verbs.load(quick_run(name)).costs.menu() is not None
    assert curve["static"]
    assert bool(curve["oracle"]) == has_menu
    is_cascade = SYSTEMS[name].fixed_routes is None
    assert bool(curve["cascade"]) != is_cascade


def test_calibrated_network_stands_against_the_strongest_simple_rival_in_multiply_adds_and_time(name, quick_run):
    evaluation = read_evaluation(quick_run(name) / "curve.json")
    assert [standings.unit for standings in evaluation.standings] == ["MAC", "ms"]
    report = evaluation_report(evaluation)
    (table,) = [section.table for section in report.sections if section.title.startswith("Against simple rivals")]
    assert len(table.rows) == sum(len(standings.rivals) for standings in evaluation.standings)
    for standings in evaluation.standings:
        for rival in standings.rivals:
            assert rival.low <= rival.gain <= rival.high
    strongest = evaluation.standing_in("MAC").strongest
    assert strongest is None or strongest.name in report.headline


def test_slowest_images_are_told_beside_the_mean(name, quick_run):
    one_by_one, batches = read_evaluation(quick_run(name) / "curve.json").efficiency
    assert one_by_one.plain_p99_ms >= one_by_one.plain_ms
    assert one_by_one.routed_p99_ms >= one_by_one.routed_ms
    assert one_by_one.num_samples >= 32
    assert batches.routed_p99_ms is None


def test_record_from_before_there_were_rivals_opens(name, quick_run):
    raw = json.loads((quick_run(name) / "curve.json").read_text())
    del raw["standings"], raw["curve"]["cascade"], raw["curve_ms"]["cascade"]
    for row in raw["efficiency"]:
        del row["plain_p99_ms"], row["routed_p99_ms"], row["num_samples"]
    evaluation = evaluation_from_json(raw)
    assert evaluation.standings == evaluation.curve.cascade == ()
    assert evaluation_report(evaluation).render()


def test_calibrated_cost_is_within_the_budget(name, quick_run):
    calibration = json.loads((quick_run(name) / "calibration.json").read_text())
    assert calibration["achieved"] <= calibration["target"]


@pytest.mark.parametrize("knob", [math.nan, math.inf, -math.inf])
def test_a_knob_that_is_no_finite_number_is_refused_everywhere(name, knob, quick_run, inputs_of):
    run, (picture, _, _) = quick_run(name), inputs_of(name)
    predictor, message = verbs.predictor(run), f"knob must be a finite number, got {knob}"
    network = predictor.network
    for use in (
        lambda: verbs.predictor(run, knob=knob),
        lambda: predictor(picture, knob=knob),
        lambda: predictor.predict_all([picture], knob=knob),
        lambda: verbs.predict(run, [picture], knob=knob),
        lambda: verbs.evaluate(run, knob=knob),
        lambda: network.policy.decide(network.scores(torch.zeros(1, 3, 32, 32)), knob),
        lambda: network.predict(torch.zeros(1, 3, 32, 32), knob),
    ):
        with pytest.raises(KnobError, match=message):
            use()


@pytest.mark.parametrize("budget", [0.0, 1.5, 50.0, math.nan, math.inf])
def test_a_budget_that_is_no_share_is_refused_by_training_and_calibration_alike(name, budget, quick_run, tmp_path):
    with pytest.raises(RecipeError, match=rf"budget must be a share of .* in \(0, 1\], got {budget}"):
        verbs.train(name, recipe=f"{name}-quick", budget=budget, out=tmp_path / "run")
    with pytest.raises(BudgetError, match=rf"budget must be a share of .* in \(0, 1\], got {budget}"):
        verbs.calibrate(quick_run(name), budget=budget)


@pytest.mark.parametrize("budget_ms", [0.0, -1.0, math.nan, math.inf])
def test_a_time_that_is_no_positive_number_is_refused(name, budget_ms, quick_run):
    with pytest.raises(BudgetError, match="budget_ms must be a positive number of milliseconds"):
        verbs.calibrate(quick_run(name), budget_ms=budget_ms)


def test_a_budget_out_of_reach_is_refused_as_the_share_that_was_asked(name, quick_run):
    with pytest.raises(BudgetError, match=r"budget 0\.0001 of the plain network's multiply-adds is below the cheapest"):
        verbs.calibrate(quick_run(name), budget=0.0001)


def test_a_knob_of_a_call_leaves_that_of_the_predictor_alone(name, quick_run, inputs_of):
    predictor, (picture, _, _) = verbs.predictor(quick_run(name)), inputs_of(name)
    before, knob = predictor(picture), predictor.knob
    cheapest = predictor(picture, knob=50.0)
    assert cheapest.macs <= before.macs
    assert (predictor(picture), predictor.knob) == (before, knob)


@pytest.fixture
def copied_run(name, quick_run, tmp_path):
    """The trained run, in a folder that the test may change."""
    return shutil.copytree(quick_run(name), tmp_path / "copied")


def count_tested(name, run):
    """How many of the 100 calibration images a guarantee rests on: half where training has fitted something on them."""
    system, recipe = SYSTEMS[name], verbs.open_run(run).run.recipe
    return 50 if system.refit and system.refit(recipe) else 100


@pytest.fixture
def evaluated_once(monkeypatch):
    """Has the command line evaluate a run once, and show the same evaluation again in another form."""
    kept = functools.cache(verbs.evaluate)
    evaluate = functools.wraps(verbs.evaluate)(lambda run, **options: kept(str(run), **options))
    monkeypatch.setitem(cli.VERBS, "evaluate", evaluate)


@pytest.mark.usefixtures("evaluated_once")
def test_a_guarantee_is_kept_told_and_compared_with_the_test_images(name, copied_run, capsys):
    assert cli.main(["calibrate", str(copied_run), "--max-loss", "0.3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    guarantee = told["guarantee"]
    assert (guarantee["loss"], guarantee["max_loss"], guarantee["confidence"]) == ("worse", 0.3, 0.95)
    assert guarantee["num_losses"] / guarantee["num_samples"] < guarantee["bound"] <= 0.3
    assert told["num_samples"] == guarantee["num_samples"] == count_tested(name, copied_run)
    assert sum(told["routes"].values()) == told["num_samples"]
    assert verbs.predictor(copied_run).knob == told["knob"]
    assert cli.main(["evaluate", str(copied_run), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["calibration"]["guarantee"] == guarantee
    assert shown["loss_on_test"]["num_images"] == 100
    assert cli.main(["evaluate", str(copied_run)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert guarantee["statement"] in text
    assert f"{shown['loss_on_test']['num_losses']} of 100" in text


def test_a_loss_too_small_for_so_few_images_is_refused_with_what_would_do(name, quick_run):
    count = count_tested(name, quick_run(name))
    with pytest.raises(GuaranteeError, match=rf"on {count} calibration images.*598 calibration images without a loss"):
        verbs.calibrate(quick_run(name), max_loss=0.005)


@pytest.mark.parametrize("options", [{"max_loss": 0.0}, {"max_loss": 1.0}, {"max_loss": 0.1, "confidence": 95.0}])
def test_a_guarantee_that_means_nothing_is_refused(name, options, quick_run):
    with pytest.raises(GuaranteeError, match="must be a number between 0 and 1"):
        verbs.calibrate(quick_run(name), **options)
