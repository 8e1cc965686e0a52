from dataclasses import replace

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file

from modicum.classify.backbones import create_backbone
from modicum.classify.evaluation import evaluate_run, read_baselines
from modicum.classify.recipe import ImageOptions
from modicum.classify.static.fitting import fit
from modicum.classify.static.network import rebuild_static
from modicum.classify.static.recipe import StaticRecipe
from modicum.reporting.runs import start_facts
from modicum.storage.errors import DivergedError, RecipeError, WeightsError
from modicum.storage.files import read_jsonl
from modicum.storage.header import read_header
from modicum.storage.runs import RunFolder
from modicum.storage.weights import load_network
from modicum.training.recipe import Schedule, SgdOptions, TrainerOptions

CHANCE = 0.5  # two colours


def new_run(path):
    return RunFolder.create(path, system="static", recipe_text="", command="", versions={})


@pytest.fixture(scope="module")
def recipe(colours_folder):
    return StaticRecipe(
        data=str(colours_folder),
        members=("digit_resnet", "photo_resnet"),
        budget=0.8,
        epochs=3,
        images=ImageOptions(batch_size=10, crop="none", flip=False, mean=(0.5,) * 3, std=(0.25,) * 3),
        trainer=TrainerOptions(accelerator="cpu", threads=1),
    )


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory):
    run = new_run(tmp_path_factory.mktemp("runs") / "family")
    return run, fit(recipe, run)


@pytest.fixture(scope="module")
def evaluation(recipe, trained, hurried):
    run, network = trained
    return evaluate_run(run, network, recipe, system="static", batch_sizes=(8,))


def test_each_member_is_a_stage(trained):
    run, _ = trained
    assert run.finished_stages() == ["digit_resnet", "photo_resnet"]
    epochs = [(row["stage"], row["epoch"]) for row in read_jsonl(run.metrics) if "val/accuracy" in row]
    assert epochs == [(stage, epoch) for stage in ("digit_resnet", "photo_resnet") for epoch in range(3)]


def test_every_member_has_learnt(evaluation):
    assert min(point.low for point in evaluation.curve.static) > CHANCE


def test_stored_family_is_the_returned_one(trained):
    run, network = trained
    stored = load_network(run.weights, {"static": rebuild_static})
    torch.testing.assert_close(stored.state_dict(), network.state_dict(), rtol=0, atol=0)
    assert not network.training


def test_baseline_is_the_dearest_member(trained, evaluation):
    (plain,) = read_baselines(trained[0])
    dearest = evaluation.curve.static[0]
    assert (plain.name, plain.cost, plain.worth) == ("plain network", dearest.cost, dearest.worth)


def test_curve_has_one_point_per_member_and_random_routing_changes_nothing(evaluation):
    curve = evaluation.curve
    assert [set(point.shares) for point in curve.routed] == [{"photo_resnet"}, {"digit_resnet"}]
    for routed, random, static in zip(curve.routed, curve.random, curve.static, strict=True):
        assert (routed.cost, routed.worth) == (random.cost, random.worth) == (static.cost, static.worth)


def test_calibrated_member_is_within_the_budget(recipe, evaluation):
    assert evaluation.calibrated.shares == {"digit_resnet": 1.0}
    assert evaluation.calibrated.cost <= recipe.budget * evaluation.calibration.plain


def test_interrupted_family_goes_on_with_the_next_member(recipe, trained, tmp_path):
    run = new_run(tmp_path / "run")
    first = trained[0].stage("photo_resnet")
    run.stage("photo_resnet").mkdir(parents=True)
    for kept in (trained[0].splits, trained[0].content):
        (run.path / kept.name).write_bytes(kept.read_bytes())
    (run.stage("photo_resnet") / "last.ckpt").write_bytes((first / "last.ckpt").read_bytes())
    run.mark_finished("photo_resnet")
    network = fit(recipe, run)
    assert {row["stage"] for row in read_jsonl(run.metrics)} == {"digit_resnet"}
    torch.testing.assert_close(network.state_dict(), trained[1].state_dict(), rtol=0, atol=0)


def test_a_member_does_not_depend_on_the_others(recipe, trained, tmp_path):
    other = replace(
        recipe, members=("cifar_resnet8", "digit_resnet"), epochs=1, images=replace(recipe.images, batch_size=50)
    )
    alone = replace(other, members=("photo_resnet", "digit_resnet"))
    first, second = (fit(each, new_run(tmp_path / str(number))) for number, each in enumerate((other, alone)))
    weights = [network.networks[network.names.index("digit_resnet")].state_dict() for network in (first, second)]
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)


def test_diverging_member_is_named_and_leaves_no_weights(recipe, tmp_path):
    run = new_run(tmp_path / "run")
    steep = replace(recipe, optimizer=SgdOptions(1e30), schedule=Schedule("steps"))
    with pytest.raises(
        DivergedError, match=r"stage digit_resnet diverged: the loss of step \d is nan, in epoch 1 of 3;"
    ):
        fit(steep, run)
    assert not run.weights.exists()
    assert not list(run.stage("digit_resnet").glob("*.ckpt"))


def test_impossible_budget_is_refused_before_any_work(recipe, tmp_path):
    run = new_run(tmp_path / "run")
    with pytest.raises(
        RecipeError, match=r"budget 0\.5 is out of reach: the cheapest member, digit_resnet, takes 0\.754"
    ):
        fit(replace(recipe, budget=0.5), run)
    assert not run.stage("photo_resnet").exists()


def test_member_that_cannot_be_used_is_named(recipe, tmp_path):
    with pytest.raises(RecipeError, match="members: member vit_tiny_patch16_224 cannot be used: at 32 px it fails"):
        fit(replace(recipe, members=("digit_resnet", "vit_tiny_patch16_224")), new_run(tmp_path / "run"))


@pytest.fixture
def trained_members(tmp_path):
    files = {}
    for name in ("cifar_resnet8", "cifar_resnet20"):
        torch.manual_seed(len(files))
        files[name] = tmp_path / f"{name}.safetensors"
        save_file(create_backbone(name, 2).state_dict(), files[name])
    return files


def test_given_weights_are_taken_as_they_are_and_nothing_is_trained(recipe, trained_members, tmp_path):
    names, files = tuple(trained_members), tuple(map(str, trained_members.values()))
    run = new_run(tmp_path / "given")
    family = fit(replace(recipe, members=names, weights=files, epochs=0), run)
    assert run.finished_stages() == []
    for name, network in zip(family.names, family.networks, strict=True):
        given = load_file(trained_members[name])
        assert all(torch.equal(given[key], tensor) for key, tensor in network.state_dict().items())


def test_weights_of_another_network_are_refused(recipe, trained_members, tmp_path):
    files = tuple(map(str, reversed(trained_members.values())))
    with pytest.raises(WeightsError, match="does not fit cifar_resnet8"):
        fit(replace(recipe, members=tuple(trained_members), weights=files), new_run(tmp_path / "swapped"))


def test_members_with_new_heads_need_a_training(recipe, trained_members, tmp_path):
    save_file(create_backbone("cifar_resnet8", 7).state_dict(), trained_members["cifar_resnet8"])
    names, files = tuple(trained_members), tuple(map(str, trained_members.values()))
    with pytest.raises(RecipeError, match=r"epochs is 0, so every member needs .* 2 classes, but cifar_resnet8 would"):
        fit(replace(recipe, members=names, weights=files, epochs=0), new_run(tmp_path / "run"))


def test_members_of_torchvision_start_from_files_and_only_the_head_learns_on_a_frozen_trunk(recipe, tmp_path):
    torch.manual_seed(0)
    state = torchvision.models.get_model("mobilenet_v3_small", num_classes=5).state_dict()
    torch.save(state, tmp_path / "mobilenet_v3_small.pth")
    names = ("mobilenet_v3_small", "cifar_resnet8")
    save_file(create_backbone("cifar_resnet8", 2).state_dict(), tmp_path / "cifar_resnet8.safetensors")
    files = (str(tmp_path / "mobilenet_v3_small.pth"), str(tmp_path / "cifar_resnet8.safetensors"))
    run = new_run(tmp_path / "run")
    family = fit(replace(recipe, members=names, weights=files, epochs=1, trunk="frozen", budget=1.0), run)
    trained = dict(zip(family.names, family.networks, strict=True))["mobilenet_v3_small"].state_dict()
    for name, value in state.items():
        if not name.startswith("classifier.3."):
            assert torch.equal(trained[name], value), name
    notes = read_header(run.weights).notes["start"]
    assert notes["mobilenet_v3_small"]["head"] == "new head for 2 classes, the weights have 5"
    assert notes["cifar_resnet8"]["head"] == "head kept, 2 classes"
    assert "mobilenet_v3_small.pth: new head for 2 classes, the weights have 5; " in start_facts(run)["Started from"]
