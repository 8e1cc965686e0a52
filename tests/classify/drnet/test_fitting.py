from dataclasses import asdict, replace

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from modicum.classify.backbone_options import with_trunk
from modicum.classify.drnet.fitting import fit
from modicum.classify.drnet.network import DRNet
from modicum.classify.drnet.recipe import DRNetRecipe
from modicum.classify.evaluation import calibrate_run, evaluate_run, open_data, read_baselines
from modicum.classify.notes import read_calibration, read_preprocessing
from modicum.classify.pictures import prepare_picture
from modicum.classify.pretrained import read_start
from modicum.classify.recipe import ImageOptions
from modicum.classify.trunk import backbone_parts
from modicum.datasets.splits import Splits
from modicum.storage.errors import DataError, RecipeError, RunError
from modicum.storage.files import read_jsonl
from modicum.storage.header import read_header
from modicum.storage.runs import RunFolder
from modicum.storage.weights import load_network
from modicum.training.checkpoints import load_checkpoint
from modicum.training.optimisers import build_optimizer
from modicum.training.recipe import Schedule, SgdOptions, TrainerOptions

CHANCE = 0.2  # five digits


def new_run(path):
    return RunFolder.create(path, system="drnet", recipe_text="", command="", versions={})


@pytest.fixture(scope="module")
def recipe(digits_folder):
    return DRNetRecipe(
        data=str(digits_folder),
        backbone="digit_resnet",
        resolutions=(32, 16),
        predictor="small",
        budget=0.7,
        multi_resolution_epochs=4,
        joint_epochs=3,
        penalty=0.5,
        optimizer=SgdOptions(0.1),
        multi_resolution_schedule=Schedule(),
        joint_schedule=Schedule(),
        images=ImageOptions(batch_size=16, crop="none", flip=False, mean=(0.5,) * 3, std=(0.25,) * 3),
        trainer=TrainerOptions(accelerator="cpu", threads=1),
    )


@pytest.fixture(scope="module")
def short(recipe):
    """One epoch per stage, no baselines."""
    return replace(
        recipe,
        multi_resolution_epochs=1,
        joint_epochs=1,
        baselines=False,
        images=replace(recipe.images, batch_size=50),
    )


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory):
    """A run folder and the network that was trained there."""
    run = new_run(tmp_path_factory.mktemp("runs") / "digits")
    return run, fit(recipe, run)


@pytest.fixture(scope="module")
def evaluation(recipe, trained, hurried):
    run, network = trained
    return evaluate_run(run, network, recipe, system="drnet", batch_sizes=(8,))


# --- what a training leaves ---


def test_run_folder_holds_everything(trained):
    run, _ = trained
    assert all(path.is_file() for path in (run.weights, run.splits, run.baselines, run.metrics))
    assert run.finished_stages() == ["multi_resolution", "joint", "static", "plain"]


def test_stored_network_is_the_returned_one(trained):
    run, network = trained
    stored = load_network(run.weights, {"drnet": DRNet})
    torch.testing.assert_close(stored.state_dict(), network.state_dict(), rtol=0, atol=0)
    assert not network.training
    assert read_header(run.weights).notes["classes"] == ["0", "1", "2", "3", "4"]


def test_splits_are_those_of_the_folders(trained):
    splits = Splits.load(trained[0].splits)
    assert {name.split("/")[0] for name in splits.calibration} == {"val"}
    assert {name.split("/")[0] for name in splits.test} == {"test"}


def test_metrics_tell_of_every_epoch(trained):
    rows = read_jsonl(trained[0].metrics)
    epochs = [(row["stage"], row["epoch"]) for row in rows if "val/accuracy" in row]
    expected = {"multi_resolution": 4, "joint": 3, "static": 3, "plain": 7}  # baselines train as long as the DRNet
    assert epochs == [(stage, epoch) for stage, count in expected.items() for epoch in range(count)]


def test_network_has_learnt(evaluation):
    assert evaluation.calibrated.low > 2 * CHANCE


def test_baselines_are_a_plain_network_and_each_resolution(trained):
    points = read_baselines(trained[0])
    assert [point.name for point in points] == [
        "plain network",
        "always 32 px, no predictor",
        "always 16 px, no predictor",
    ]
    assert [point.cost for point in points] == [3_060_032.0, 3_060_032.0, 765_248.0]
    assert min(point.low for point in points) > CHANCE


def test_finished_run_is_not_trained_again(recipe, trained):
    run, network = trained
    lines = run.metrics.read_text()
    again = fit(recipe, run)
    torch.testing.assert_close(again.state_dict(), network.state_dict(), rtol=0, atol=0)
    assert run.metrics.read_text() == lines


# --- what an evaluation tells ---


def test_curve_has_all_baselines(evaluation):
    curve = evaluation.curve
    assert len(curve.routed) == len(curve.random) > 1
    assert [point.name for point in curve.static] == ["always 32 px", "always 16 px"]
    assert curve.oracle.worth >= max(point.worth for point in curve.static + curve.routed)
    assert len(curve.plain) == 3


def test_calibrated_point_keeps_the_budget_where_the_knob_was_chosen(recipe, trained, evaluation):
    calibration = evaluation.calibration
    assert calibration.achieved <= calibration.target == pytest.approx(recipe.budget * calibration.plain)
    assert read_calibration(trained[0]) == calibration
    assert evaluation.calibrated.knob == calibration.knob


def test_evaluation_describes_its_data(evaluation):
    assert evaluation.classes == ("0", "1", "2", "3", "4")
    assert evaluation.resolution_px == 32
    assert evaluation.num_images["test"] == evaluation.curve.num_samples


def test_examples_are_sorted_by_cost_and_show_the_networks_input(evaluation):
    parts = (evaluation.cheapest, evaluation.most_expensive)
    cheapest, dearest = ([example.cost for example in part] for part in parts)
    assert cheapest == sorted(cheapest)
    assert dearest == sorted(dearest, reverse=True)
    assert max(cheapest) <= min(dearest)
    assert {example.image.size for example in evaluation.cheapest + evaluation.most_expensive} == {(32, 32)}


def test_clock_is_read_at_the_batch_sizes_asked_for(evaluation):
    assert [row.batch_size for row in evaluation.efficiency] == [8]


def test_other_knob_can_be_looked_at(recipe, trained):
    run, network = trained
    other = evaluate_run(run, network, recipe, system="drnet", knob=1e6, batch_sizes=())
    assert other.calibrated.shares == {"16 px": 1.0}
    assert other.efficiency == ()


def test_impossible_target_is_refused_with_both_figures(recipe, trained):
    run, network = trained
    told = r"budget 0\.0003\d+ of the plain network's multiply-adds is below the cheapest routes, 0\.3149 of the plain"
    with pytest.raises(ValueError, match=told):
        calibrate_run(run, network, open_data(recipe, run), network.costs, 1000.0)


def test_run_without_splits_cannot_be_evaluated(recipe, build, tmp_path):
    with pytest.raises(RunError, match=r"has no model\.safetensors yet: finish its training with --resume"):
        evaluate_run(new_run(tmp_path / "run"), build(), recipe, system="drnet")


# --- ways to train ---


def normalisations(state):
    return {name: value for name, value in state.items() if "running_" in name and name.startswith("backbone.")}


def stage_state(run, stage):
    state = load_checkpoint(run.stage(stage) / "last.ckpt")["state_dict"]
    return {name.removeprefix("network."): value for name, value in state.items()}


def test_warm_start_labels_by_networks_that_have_not_seen_the_image(short, tmp_path):
    run = new_run(tmp_path / "run")
    fit(replace(short, warm_start_epochs=1, warm_start_folds=2), run)
    assert run.finished_stages() == ["multi_resolution", "fold0", "fold1", "warm_start", "joint"]
    targets = stage_state(run, "warm_start")["targets"]
    assert len(targets) == len(Splits.load(run.splits).train)
    assert set(targets.tolist()) <= {0, 1}


def test_frozen_statistics_are_those_of_stage_one(short, tmp_path):
    run = new_run(tmp_path / "run")
    network = fit(replace(short, joint_epochs=2, statistics="frozen"), run)
    before = normalisations(stage_state(run, "multi_resolution"))
    torch.testing.assert_close(normalisations(network.state_dict()), before, rtol=0, atol=0)


def test_running_statistics_are_those_of_stage_two(short, tmp_path):
    run = new_run(tmp_path / "run")
    network = fit(replace(short, statistics="running"), run)
    before = normalisations(stage_state(run, "joint"))
    torch.testing.assert_close(normalisations(network.state_dict()), before, rtol=0, atol=0)


def test_reestimated_statistics_are_new_and_nothing_else(short, tmp_path):
    run = new_run(tmp_path / "run")
    final = fit(replace(short, statistics="reestimated"), run).state_dict()
    joint = stage_state(run, "joint")
    changed = {name for name in final if not torch.equal(final[name], joint[name])}
    assert changed
    assert all("running_" in name or "num_batches_tracked" in name for name in changed)


@pytest.mark.parametrize(
    "options",
    [{"routing_gradient": "selected"}, {"distillation": 0.5}, {"ema_decay": 0.9}],
    ids=lambda o: next(iter(o)),
)
def test_other_ways_to_train_leave_finite_weights(short, tmp_path, options):
    network = fit(replace(short, **options), new_run(tmp_path / "run"))
    assert all(value.isfinite().all() for value in network.state_dict().values())


def test_same_seed_gives_the_same_weights_and_another_does_not(short, tmp_path):
    first, second, other = (
        fit(replace(short, seed=seed), new_run(tmp_path / str(number))).state_dict()
        for number, seed in enumerate((1, 1, 2))
    )
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert not torch.equal(first["backbone.conv1.weight"], other["backbone.conv1.weight"])


# --- what cannot be trained ---


def test_impossible_budget_is_refused_before_any_work(short, tmp_path):
    run = new_run(tmp_path / "run")
    with pytest.raises(RecipeError, match=r"budget 0\.2 is out of reach"):
        fit(replace(short, budget=0.2), run)
    assert not run.stage("multi_resolution").exists()


def test_unknown_backbone_is_refused(short, tmp_path):
    with pytest.raises(RecipeError, match=r"backbone 'digit_resnt' is not known: did you mean digit_resnet"):
        fit(replace(short, backbone="digit_resnt"), new_run(tmp_path / "run"))


def test_missing_data_are_refused(short, tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist; data can be"):
        fit(replace(short, data=str(tmp_path / "nowhere")), new_run(tmp_path / "run"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolutions": (32,)}, "resolutions must be at least two sides in pixels, got"),
        ({"resolutions": (16, 32)}, "resolutions must be falling sides in pixels"),
        ({"budget": 0}, r"budget must be a share of the plain network's cost, in \(0, 1\], got 0"),
        ({"temperature": 0}, "temperature must be above 0, got 0"),
        ({"joint_epochs": 0}, "joint_epochs must be at least 1, got 0"),
        ({"multi_resolution_epochs": 0}, "multi_resolution_epochs must be at least 1, got 0"),
        ({"warm_start_folds": 1}, "warm_start_folds must be at least 2, got 1"),
        ({"penalty": -1}, "penalty.* must be at least 0"),
        ({"ema_decay": 1.0}, r"ema_decay must be in \(0, 1\).* got 1\.0"),
    ],
)
def test_impossible_recipe_is_refused(options, message):
    with pytest.raises(RecipeError, match=message):
        DRNetRecipe(**options)


# --- pretrained weights ---


@pytest.fixture(scope="module")
def lite_weights(tmp_path_factory):
    """The state of an untrained network of timm with ten classes, and its file."""
    torch.manual_seed(1)
    state = timm.create_model("tf_efficientnet_lite0", num_classes=10).state_dict()
    file = tmp_path_factory.mktemp("weights") / "lite.safetensors"
    save_file(state, file)
    return str(file), state


@pytest.fixture(scope="module")
def started(short, lite_weights, tmp_path_factory):
    """A run on a frozen trunk of weights with another number of classes than the data, and its network."""
    run = new_run(tmp_path_factory.mktemp("runs") / "lite")
    options = {"backbone": "tf_efficientnet_lite0", "weights": lite_weights[0], "trunk": "frozen", "budget": 1.0}
    images = replace(short.images, mean=None, std=None, interpolation=None)
    recipe = replace(short, **options, images=images, resolutions=(64, 32))
    return recipe, run, fit(recipe, run)


def test_frozen_trunk_is_that_of_the_weights_at_every_resolution(started, lite_weights):
    _, _, network = started
    for route in range(2):
        trained = network.static(route)[1].state_dict()
        for name, value in lite_weights[1].items():
            assert torch.equal(trained[name], value) == (not name.startswith("classifier.")), name


def test_run_remembers_what_it_started_from_and_how_pictures_are_prepared(started):
    recipe, run, _ = started
    notes = read_header(run.weights).notes
    assert notes["start"]["tf_efficientnet_lite0"]["head"] == "new head for 5 classes, the weights have 10"
    assert notes["preprocessing"]["mean"] == notes["preprocessing"]["std"] == [0.5, 0.5, 0.5]
    assert notes["preprocessing"]["interpolation"] == "bicubic"
    assert open_data(recipe, run).preprocessing == read_preprocessing(run.weights)  # not what the recipe left open


def test_tuned_trunk_learns_at_its_own_rate(short, lite_weights):
    start = read_start("tf_efficientnet_lite0", lite_weights[0])
    recipe = replace(short, backbone="tf_efficientnet_lite0", weights=lite_weights[0], trunk_rate=0.2)
    options = with_trunk(recipe.optimizer.general(), recipe)
    trunk, head = build_optimizer(options, backbone_parts(start.create(5), options)).param_groups
    assert (trunk["lr"], head["lr"]) == pytest.approx((0.02, 0.1))
    assert [tuple(weight.shape) for weight in head["params"]] == [(5, 1280), (5,)]


def test_run_from_weights_is_predicted_with_their_preprocessing(started):
    _, run, _ = started
    preprocessing = read_preprocessing(run.weights)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8))
    ours = preprocessing.normalise(preprocessing.eval_transform()(picture)[None])[0].numpy()
    theirs = prepare_picture(picture, asdict(preprocessing))
    assert np.abs(ours - theirs).max() < 2.1 / 255 / 0.5  # Pillow rounds after each direction
    bilinear = prepare_picture(picture, {**asdict(preprocessing), "interpolation": "bilinear"})
    assert np.abs(ours - bilinear).max() > 0.1
