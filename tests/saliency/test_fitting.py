import json
import os
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from modicum.recipes import build_recipe
from modicum.saliency.encoders import read_encoder_weights
from modicum.saliency.evaluation import evaluate_run, load_baseline
from modicum.saliency.fitting import build_network, fit
from modicum.saliency.network import SaliencyNet
from modicum.saliency.recipe import NetworkOptions, SaliencyRecipe, TwoRateOptions
from modicum.saliency.training import parts_of
from modicum.storage.errors import RecipeError, RunError
from modicum.storage.files import read_jsonl
from modicum.storage.runs import RunFolder
from modicum.storage.weights import load_network, read_header
from modicum.training.optimisers import build_optimizer

SMALL = {
    "image_px": 32,
    "network": {"encoder": "small", "width": 8, "steps": 1},
    "epochs": 4,
    "optimizer": {"head_rate": 0.005, "encoder_rate": 0.005},
    "ema_decay": None,
    "images": {"batch_size": 8},
    "trainer": {"accelerator": "cpu", "threads": 1},
}


@pytest.fixture(scope="module")
def recipe(scenes_folder):
    return build_recipe(SaliencyRecipe, {"data": str(scenes_folder), **SMALL})


def new_run(path):
    return RunFolder.create(path, system="saliency", recipe_text="", command="", versions={})


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory):
    run = new_run(tmp_path_factory.mktemp("run") / "run")
    return fit(recipe, run), run


def test_training_lowers_the_loss(trained):
    losses = [row["train/loss"] for row in read_jsonl(trained[1].metrics) if "train/loss" in row]
    assert losses[-1] < losses[0]


def test_saved_network_is_the_trained_one(trained):
    network, run = trained
    loaded = load_network(run.weights, {"saliency": SaliencyNet})
    torch.testing.assert_close(loaded.state_dict(), network.state_dict(), rtol=0, atol=0)
    assert read_header(run.weights).notes["preprocessing"]["size"] == 32


def test_finished_run_is_not_trained_again(trained, recipe):
    network, run = trained
    again = fit(recipe, run)
    torch.testing.assert_close(again.state_dict(), network.state_dict(), rtol=0, atol=0)


def test_evaluation_holds_the_network_against_every_baseline(trained, recipe):
    network, run = trained
    evaluation = evaluate_run(run, network, recipe)
    assert [method.name for method in evaluation.methods] == [
        "network",
        "U-Net of equal cost",
        "all zero",
        "centre Gaussian",
        "mean training mask",
        "frequency-tuned",
        "frequency-tuned x centre",
    ]
    assert evaluation.num_images == {"train": 48, "calibration": 1, "test": 12}
    scores = [example.score.s_measure for example in evaluation.best]
    assert scores == sorted((image.s_measure for image in evaluation.images), reverse=True)[:4]
    assert evaluation.worst[0].score.s_measure == min(image.s_measure for image in evaluation.images)
    assert len(evaluation.attention) == 2
    assert json.loads(json.dumps(evaluation.to_json()))["methods"][0]["name"] == "network"


def test_baseline_is_loaded_where_the_network_is(trained):
    baseline = load_baseline(trained[1], torch.device("meta"))
    assert {parameter.device.type for parameter in baseline.parameters()} == {"meta"}


def test_unfinished_run_is_not_evaluated(recipe, trained, tmp_path):
    with pytest.raises(RunError, match="finish its training with --resume"):
        evaluate_run(new_run(tmp_path / "run"), trained[0], recipe)


def test_encoder_starts_from_a_file_of_timms_weights(tmp_path):
    torch.manual_seed(1)
    state = timm.create_model("mobilenetv3_small_050").state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    weights = read_encoder_weights("mobilenetv3_small_050", str(tmp_path / "weights.safetensors"))
    network = build_network(NetworkOptions("mobilenetv3_small_050", width=16), weights)
    stem = network.encoder.features.state_dict()["conv_stem.weight"]
    torch.testing.assert_close(stem, state["conv_stem.weight"], rtol=0, atol=0)


def test_frozen_encoder_stays_as_given_and_the_images_are_those_of_its_weights(scenes_folder, tmp_path):
    torch.manual_seed(1)
    name = "tf_efficientnet_lite0"
    state = timm.create_model(name).state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    options = {"data": str(scenes_folder), **SMALL, "epochs": 1, "baselines": False, "ema_decay": None}
    options |= {"network": {"encoder": name, "width": 8, "steps": 1}, "image_px": 64, "trunk": "frozen"}
    recipe = build_recipe(SaliencyRecipe, {**options, "weights": str(tmp_path / "weights.safetensors")})
    run = new_run(tmp_path / "run")
    trained = fit(recipe, run).encoder.features.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in trained.items())
    notes = read_header(run.weights).notes
    assert notes["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    assert notes["preprocessing"]["interpolation"] == "bicubic"
    assert notes["start"][name]["source"].endswith("weights.safetensors")


def test_unknown_encoder_is_an_error_of_the_recipe():
    with pytest.raises(RecipeError, match="network: encoder 'resnet19' cannot be used"):
        build_network(NetworkOptions("resnet19"))


def test_encoder_and_head_have_rates_of_their_own():
    network = SaliencyNet("small", width=8, steps=1)
    options = TwoRateOptions(head_rate=0.3, encoder_rate=0.2).general()
    encoder, head = build_optimizer(options, parts_of(network)).param_groups
    counts = [sum(each.numel() for each in group["params"]) for group in (encoder, head)]
    assert [encoder["lr"], head["lr"]] == [0.2, 0.3]
    assert counts == [167_632, sum(p.numel() for p in network.parameters()) - 167_632]


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_other_optimisers_and_batch_sides_train_too(kind, scenes_folder, tmp_path):
    options = {
        "data": str(scenes_folder),
        **SMALL,
        "epochs": 1,
        "optimizer": {"kind": kind, "head_rate": 0.001, "encoder_rate": 0.001},
        "loss": {"weigh_boundaries": True},
        "images": {"batch_size": 24, "batch_px": [32, 40]},
    }
    network = fit(build_recipe(SaliencyRecipe, options), new_run(tmp_path / "run"))
    assert all(parameter.isfinite().all() for parameter in network.parameters())


@pytest.mark.data
@pytest.mark.skipif("MODICUM_DATA" not in os.environ, reason="MODICUM_DATA does not say where the real data sets are")
def test_network_learns_from_the_real_ecssd(tmp_path):
    data = str(Path(os.environ["MODICUM_DATA"]) / "ecssd")
    recipe = build_recipe(SaliencyRecipe, {**SMALL, "data": data, "epochs": 1, "images": {"batch_size": 20}})
    run = new_run(tmp_path / "run")
    network = fit(recipe, run)
    losses = [row["train/loss"] for row in read_jsonl(run.metrics) if "train/loss" in row]
    assert losses[-1] < losses[0]
    with torch.inference_mode():
        assert network.saliency(torch.zeros(1, 3, 32, 32)).isfinite().all()
