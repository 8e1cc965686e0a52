import json
import logging
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from modicum import verbs
from modicum.adaptive.guarantee import GuaranteeError, Passed, Terms
from modicum.classify.blockdrop.network import BlockDrop
from modicum.classify.calibration_json import calibration_from_json, calibration_to_json
from modicum.classify.data.scenes import DigitScenes
from modicum.classify.drnet.network import DRNet
from modicum.classify.guarantee import (
    Images,
    RoutedClasses,
    batch_places,
    certify_on_pictures,
    halves,
    losses_of,
    reference_classes,
    state,
)
from modicum.classify.predictor import Predictor
from modicum.datasets.preprocessing import Preprocessing
from modicum.prediction import Failure
from modicum.presenting import present_predictions
from modicum.storage.errors import DataError
from modicum.storage.files import read_json_object
from modicum.storage.header import update_notes
from modicum.storage.sealing import write_sealed
from modicum.systems import SYSTEMS


def as_images(pixels, labels=None, source=None):
    """Images (N, 3, S, S) in memory, and a list to which the places are added that are asked for."""
    asked = []

    def batches_of(places):
        asked.extend(places)
        return (pixels[batch] for batch in batch_places(places))

    return Images(tuple(f"image {n}" for n in range(len(pixels))), batches_of, labels, source), asked


@pytest.fixture(scope="module")
def pixels():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(40, 1, 1, 1, generator=generator) * 3 * torch.randn(40, 3, 32, 32, generator=generator)


@pytest.fixture(scope="module", params=["drnet", "blockdrop"])
def network(request, pixels):
    """A network whose routes can be listed, and one whose routes cannot, undecided on these images."""
    torch.manual_seed(0)
    if request.param == "drnet":
        made = DRNet("digit_resnet", num_classes=10, resolutions=(32, 24, 16), predictor="small").eval()
        last = made.predictor.linear
    else:
        made = BlockDrop("cifar_resnet20", num_classes=10, policy="small").eval()
        last = made.policy_network[-1].linear
    with torch.no_grad():
        last.weight.mul_(50)
        last.bias.sub_(made.scores(pixels).mean(0))
    return made


def test_routed_classes_are_those_of_a_run_and_only_changed_routes_are_run_again(network, pixels):
    images, asked = as_images(pixels)
    scores, found = images.scored(network).scores, RoutedClasses(network, images)
    low, high = network.policy.knob_range(scores)
    asked.clear()
    for knob in (low, low, (low + high) / 2, high):
        routes = network.policy.decide(scores, knob)
        with torch.no_grad():
            assert torch.equal(found(routes), network.run(pixels, routes).argmax(dim=1))
        if knob == low:
            assert sorted(asked) == list(range(40))  # also after the same routes once more
    assert len(asked) <= 40 * 3


def test_the_whole_of_a_network_is_its_most_expensive_route(network, pixels):
    images, _ = as_images(pixels)
    routed = RoutedClasses(network, images)
    whole, plain = (reference_classes(network, images, name, routed) for name in ("whole", "plain"))
    assert torch.equal(whole, plain)  # of these two systems


def test_losses_without_labels_are_differences_and_with_labels_what_became_wrong():
    found, expected, labels = torch.tensor([1, 2, 3, 4]), torch.tensor([1, 1, 1, 4]), torch.tensor([1, 1, 3, 0])
    assert losses_of(found, expected, None).tolist() == [False, True, True, False]
    assert losses_of(found, expected, labels).tolist() == [False, True, False, False]


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_halves_are_disjoint_and_hold_everything(count):
    fitted, tested = halves(count, seed=3)
    assert sorted(fitted + tested) == list(range(count))
    assert len(tested) - len(fitted) in (0, 1)
    assert halves(count, seed=3) == (fitted, tested)


def test_pictures_that_spread_the_knobs_are_not_tested(network, pixels):
    images, _ = as_images(pixels, source="traffic/")
    made = certify_on_pictures(network, images, Terms(0.5), reference="plain", seed=0)
    assert made.num_samples == 36
    assert made.worth is made.target is None
    assert sum(made.routes.values()) == 36
    assert (made.guarantee.loss, made.guarantee.source) == ("different", "traffic/")


def test_one_picture_is_too_few(network, pixels):
    images, _ = as_images(pixels[:1], source="traffic/")
    with pytest.raises(DataError, match=r"traffic/ holds 1 picture\(s\) that can be used: give at least two"):
        certify_on_pictures(network, images, Terms(0.5), reference="plain", seed=0)


def test_the_statement_is_one_sentence_with_its_numbers():
    passed, terms = Passed(0.25, 1, 950, 0.00498), Terms(0.005)
    assert state(passed, terms, "worse", "plain", None) == (
        "With 95 % confidence, at most 0.5 % of images drawn like the 950 calibration images are classified correctly "
        "by the plain network but wrongly by the routed network, whose accuracy is therefore at most 0.5 points lower; "
        "it happened to 1 of these 950 (upper bound 0.498 %)."
    )
    assert state(passed, terms, "different", "whole", "traffic") == (
        "With 95 % confidence, at most 0.5 % of images drawn like the 950 pictures of traffic are classified "
        "differently by the routed network and by the most expensive route; it happened to 1 of these 950 (upper bound "
        "0.498 %)."
    )


@pytest.fixture
def run(quick_run, tmp_path):
    """A trained DRNet, in a folder that the test may change."""
    return shutil.copytree(quick_run("drnet"), tmp_path / "run")


@pytest.fixture
def traffic(tmp_path, digit_folder):
    """Forty new pictures at several depths, beside two of the run's own data, a copy and a broken file."""
    folder = tmp_path / "traffic"
    (folder / "deep" / "er").mkdir(parents=True)
    scenes = DigitScenes(side=32, sizes=(340, 100, 100))
    for number in range(300, 340):
        scenes.open(number).save(folder / ("deep/er" if number % 2 else ".") / f"{number}.png")
    for part in ("train", "test"):
        own = min((digit_folder / part).rglob("*.png"))
        shutil.copy(own, folder / f"{part}.png")
    shutil.copy(folder / "300.png", folder / "deep" / "copy.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def test_pictures_without_classes_are_new_whole_and_each_once(run, traffic, caplog):
    caplog.set_level(logging.WARNING)
    made = verbs.calibrate(run, max_loss=0.5, without_labels=traffic).calibration
    assert made.num_samples == 36  # of forty, every tenth spreads the knobs
    assert "left out broken.png" in caplog.text
    assert "left out 1 picture(s)" in caplog.text
    assert "left out 2 picture(s)" in caplog.text
    assert "'test.png', 'train.png'" in caplog.text
    evaluation = verbs.evaluate(run, clock=False)
    assert evaluation.calibration == made
    assert evaluation.loss_on_test.num_images == 100


def test_own_pictures_are_known_by_their_pixels_in_another_format(run, digit_folder, tmp_path, caplog):
    folder = tmp_path / "traffic"
    folder.mkdir()
    with Image.open(min((digit_folder / "test").rglob("*.png"))) as picture:
        picture.save(folder / "same.bmp")
    with pytest.raises(DataError, match="holds 1 picture"):
        verbs.calibrate(run, max_loss=0.5, without_labels=folder)


def test_nothing_is_kept_where_no_knob_passes(run):
    before = {name: (run / name).read_bytes() for name in ("calibration.json", "model.safetensors")}
    with pytest.raises(GuaranteeError, match=r"on 100 calibration images.*2\.952 % at best; that takes at least 598"):
        verbs.calibrate(run, max_loss=0.005)
    assert before == {name: (run / name).read_bytes() for name in before}


def test_a_budget_takes_the_place_of_a_guarantee(run):
    verbs.calibrate(run, max_loss=0.3)
    verbs.calibrate(run, budget=0.5)
    assert read_json_object(run / "calibration.json")["guarantee"] is None
    assert verbs.evaluate(run, clock=False).loss_on_test is None


def test_training_that_goes_on_keeps_what_a_guarantee_was_tested_with(quick_run, tmp_path, monkeypatch):
    run = shutil.copytree(quick_run("ranet"), tmp_path / "run")
    fitted = load_file(run / "model.safetensors")
    verbs.calibrate(run, max_loss=0.3)
    refitted = load_file(run / "model.safetensors")
    assert len(fitted["policy.calibration.bits"]) == 2 * len(refitted["policy.calibration.bits"])
    monkeypatch.setattr("modicum.verbs.training.write_report", lambda run: None)
    verbs.train("ranet", recipe=run / "recipe.yaml", out=run, resume=True)
    after = load_file(run / "model.safetensors")
    assert all(torch.equal(refitted[key], after[key]) for key in refitted)


def test_epochs_that_were_chosen_by_the_calibration_part_are_choices():
    recipe = SYSTEMS["blockdrop"].recipe(method="reinforce", policy_epochs=8, joint_epochs=5)
    assert SYSTEMS["blockdrop"].num_choices(recipe) == 40


def test_a_calibration_of_an_older_version_is_read(run):
    content = read_json_object(run / "calibration.json")
    old = {key: value for key, value in content.items() if key not in ("routes", "guarantee", "sha256")}
    made = calibration_from_json(old)
    assert (made.knob, made.routes, made.guarantee) == (content["knob"], None, None)


class TestDrift:
    @pytest.fixture
    def predictor(self, network, pixels):
        images, _ = as_images(pixels, source="traffic/")
        made = certify_on_pictures(network, images, Terms(0.999), reference="plain", seed=0)
        made = calibration_from_json(calibration_to_json(made))
        return Predictor(
            network, preprocessing=Preprocessing(32, 36), classes="0123456789", knob=made.knob, calibration=made
        )

    @pytest.fixture
    def pictures(self, pixels):
        return [((each.permute(1, 2, 0) * 40 + 128).clamp(0, 255)).byte().numpy() for each in pixels]

    def test_routes_are_counted_at_the_calibrated_knob_alone(self, predictor, pictures):
        list(predictor.predict_all(pictures[:5]))
        predictor(pictures[5])
        list(predictor.predict_all([*pictures[:3], b"no picture"], knob=predictor.knob + 1))
        assert predictor.drift().num_samples == 6

    def test_steps_count_as_calls_do(self, predictor, pictures):
        list(predictor.predict_all(pictures[:12]))
        expected = predictor.drift().shares
        waiting = [each for each in predictor.start(pictures[:12]) if not isinstance(each, Failure)]
        while waiting:
            group = [each for each in waiting if each.group == waiting[0].group]
            waiting = [each for each in waiting if each.group != group[0].group]
            # Once decided, the knob of a call says nothing.
            knob = 77.0 if group[0].is_decided else None
            waiting += predictor.advance(group, knob=knob).survivors
        assert predictor.drift().num_samples == 24
        assert predictor.drift().shares == expected

    def test_without_a_calibration_there_is_no_drift(self, predictor):
        other = Predictor(predictor.network, preprocessing=Preprocessing(32, 36), classes="0123456789", knob=0.0)
        assert other.drift() is None


def test_images_on_other_routes_than_calibrated_are_told_of(run, digit_folder, capsys):
    content = read_json_object(run / "calibration.json")
    route = next(iter(content["routes"]))
    files = sorted((digit_folder / "test").rglob("*.png"))

    def answer(routes, *, as_json):
        kept = {**{key: value for key, value in content.items() if key != "sha256"}, "routes": routes}
        write_sealed(run / "calibration.json", kept)
        update_notes(run / "model.safetensors", {"calibration": kept})
        assert present_predictions(verbs.predict(run, files), as_json=as_json)
        return capsys.readouterr()

    same = answer(content["routes"], as_json=True).out.splitlines()
    assert len(same) == len(files)
    *_, last = answer({"another route": 100}, as_json=True).out.splitlines()
    drift = json.loads(last)["drift"]
    assert drift["p_value"] < drift["p_value_limit"] == 0.001
    assert drift["calibrated"] == {"another route": 1.0}
    told = answer({"another route": 100}, as_json=False)
    assert "warning: these 100 images are not like the calibration images" in told.err
    assert "warning" not in told.out
    assert route in told.err
