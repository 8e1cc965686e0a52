"""A DRNet that decides by confidence, through all that a user does with a run."""

import json
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from modicum import verbs
from modicum.adaptive.rivals import undominated
from modicum.classify.cascade.runner import OnnxCascade
from modicum.classify.drnet.exiting import ExitingDRNet
from modicum.classify.evaluation import read_baselines
from modicum.classify.results import read_evaluation
from modicum.storage.errors import RecipeError
from modicum.storage.header import read_header
from modicum.storage.runs import RunFolder

OPTIONS = {"decision": "confidence", "multi_resolution_epochs": 4, "resolutions": (32, 24, 16), "budget": 0.6}


@pytest.fixture(scope="module")
def trained(digits_folder, tmp_path_factory):
    """A run folder; not to be changed."""
    out = tmp_path_factory.mktemp("runs") / "drnet"
    rates = {"optimizer": {"learning_rate": 0.1}, "images": {"batch_size": 16}}
    verbs.train("drnet", recipe="drnet-quick", data=str(digits_folder), out=out, **OPTIONS, **rates)
    return out


@pytest.fixture
def run(trained, tmp_path):
    """The run, in a folder that the test may change."""
    return shutil.copytree(trained, tmp_path / "run")


def test_one_stage_at_all_resolutions_is_trained_and_no_predictor(trained):
    assert RunFolder.open(trained).finished_stages() == ["multi_resolution", "plain"]
    network = verbs.load(trained)
    assert isinstance(network, ExitingDRNet)
    assert not any(name.startswith("predictor") for name in network.state_dict())


def test_steps_and_thresholds_are_fitted(trained):
    network = verbs.load(trained)
    assert 2 <= network.num_steps <= 3
    assert len(network.policy.table.values()) > 2
    assert (network.temperatures.values() != 1).any()


def test_baselines_are_the_plain_network_and_each_resolution_by_itself(trained):
    points, macs = read_baselines(RunFolder.open(trained)), verbs.load(trained).macs
    names = ["plain network", "always 32 px alone", "always 24 px alone", "always 16 px alone"]
    assert [point.name for point in points] == names
    assert [point.cost for point in points] == [macs[0], *macs]


def test_evaluation_stands_against_resolutions_alone_and_describes_the_steps(trained):
    evaluation = read_evaluation(trained / "curve.json")
    assert evaluation.calibration.achieved <= evaluation.calibration.target
    assert evaluation.calibrated.low > 0.4  # five digits
    assert evaluation.curve.cascade == ()  # it is one
    assert [detail.title for detail in evaluation.details] == ["Steps"]
    assert [standings.unit for standings in evaluation.standings] == ["MAC", "ms"]
    frontier = {point.name for point in undominated(read_baselines(RunFolder.open(trained)))}
    assert not frontier & set(evaluation.standing_in("ms").untimed)  # resolutions that are no route are timed, too
    assert "by the confidence of each resolution" in (trained / "report.html").read_text()


def test_prediction_tells_each_step_and_how_sure_it_was(trained, digits_folder):
    pictures = sorted((digits_folder / "test").rglob("*.png"))[:8]
    answers = list(verbs.predict(trained, pictures))
    names = verbs.load(trained).costs.route_names
    for answer in answers:
        assert [name for name, _ in answer.steps] == list(names[: len(answer.steps)])
        assert answer.route == answer.steps[-1][0]
        assert 0 <= answer.steps[-1][1] <= 1


def test_explanations_are_drawn(trained, digits_folder, tmp_path):
    picture = min((digits_folder / "test").rglob("*.png"))
    (answer,) = verbs.predict(trained, [picture], explain=tmp_path / "seen")
    with Image.open(answer.files["explanation"]) as drawn:
        assert drawn.width > 100


def test_export_classifies_as_the_run_does(trained, digits_folder, tmp_path):
    folder = verbs.export(trained, out=tmp_path / "export")
    picture = min((digits_folder / "test").rglob("*.png"))
    found, expected = (
        OnnxCascade(folder, threads=1, system="drnet").classify(picture),
        verbs.predictor(trained)(picture),
    )
    assert (found.predicted, found.route) == (expected.label, expected.route)
    assert found.probability == pytest.approx(expected.probability, abs=1e-3)


def test_a_guarantee_chooses_steps_and_thresholds_on_the_images_that_it_does_not_test(run, digits_folder):
    fitted = load_file(run / "model.safetensors")
    calibration = verbs.calibrate(run, max_loss=0.3).calibration
    count = len(json.loads((run / "splits.json").read_text())["calibration"])
    assert calibration.guarantee.num_samples == count - count // 2
    refitted = load_file(run / "model.safetensors")
    assert not torch.equal(fitted["temperatures.bits"], refitted["temperatures.bits"])
    assert all(torch.equal(refitted[key], value) for key, value in fitted.items() if key.startswith("backbone."))
    assert read_header(run / "model.safetensors").notes["is_fitted_on_half"] is True
    assert verbs.evaluate(run, clock=False).loss_on_test.num_images > 0


def test_a_finished_training_that_is_resumed_ends_with_the_same_network(run, monkeypatch):
    before = load_file(run / "model.safetensors")
    monkeypatch.setattr(verbs, "report", lambda run: None)
    verbs.train("drnet", recipe=run / "recipe.yaml", out=run, resume=True)
    after = load_file(run / "model.safetensors")
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_without_baselines_resolutions_alone_are_still_measured(digits_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(verbs, "report", lambda run: None)
    out = tmp_path / "run"
    options = OPTIONS | {"multi_resolution_epochs": 1, "baselines": False}
    verbs.train("drnet", recipe="drnet-quick", data=str(digits_folder), out=out, **options)
    assert RunFolder.open(out).finished_stages() == ["multi_resolution"]
    assert len(read_baselines(RunFolder.open(out))) == 3


def test_budget_below_the_smallest_resolution_is_refused_before_any_work(digits_folder, tmp_path):
    with pytest.raises(RecipeError, match=r"budget 0\.1 is out of reach: the smallest resolution alone costs 0\.25"):
        verbs.train(
            "drnet", recipe="drnet-quick", data=str(digits_folder), out=tmp_path / "run", **(OPTIONS | {"budget": 0.1})
        )
