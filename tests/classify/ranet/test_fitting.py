import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image

from modicum.adaptive.exits import GeometricRule
from modicum.classify.backbones import create_backbone
from modicum.classify.data.scenes import DigitScenes
from modicum.classify.evaluation import evaluate_run, read_baselines
from modicum.classify.ranet import fitting
from modicum.classify.ranet.details import describe
from modicum.classify.ranet.fitting import fit
from modicum.classify.ranet.network import RANet
from modicum.classify.ranet.recipe import RANetRecipe
from modicum.classify.ranet.structure import Structure
from modicum.classify.recipe import ImageOptions
from modicum.datasets.splits import Splits
from modicum.measuring.counting import count_network_macs
from modicum.storage.errors import DataError, DivergedError, RecipeError
from modicum.storage.files import read_jsonl
from modicum.storage.runs import RunFolder
from modicum.storage.weights import load_network
from modicum.training.recipe import Schedule, SgdOptions, TrainerOptions

CHANCE = 0.2  # five digits
TINY = Structure(
    scales=(1, 2),
    growth_factors=(2, 1),
    bottleneck_factors=(2, 1),
    base_channels=8,
    growth=4,
    first_blocks=1,
    block_step=1,
    layers=2,
)


def new_run(path):
    return RunFolder.create(path, system="ranet", recipe_text="", command="", versions={})


@pytest.fixture(scope="module")
def easy_digits(tmp_path_factory):
    """About 500 pictures of 16 px with large digits from 0 to 4, in folders: learnt in a few seconds."""
    root = tmp_path_factory.mktemp("digits")
    scenes = DigitScenes(side=16, sizes=(1500, 350, 350))
    for index, record in enumerate(scenes.records):
        if scenes.digit_size_px[index] > 8 and record.label < 5:
            file = root / record.split / str(record.label) / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(scenes.pixels(index)).save(file)
    return root


@pytest.fixture(scope="module")
def recipe(easy_digits):
    return RANetRecipe(
        data=str(easy_digits),
        structure=TINY,
        image_px=16,
        head="lite",  # the first of two published exits would cost more than the last alone
        temperature=True,
        budget=0.9,
        epochs=6,
        optimizer=SgdOptions(0.1),
        schedule=Schedule(),
        plain="digit_resnet",
        images=ImageOptions(batch_size=16, crop="none", flip=False, mean=(0.5,) * 3, std=(0.25,) * 3),
        trainer=TrainerOptions(accelerator="cpu", threads=1),
    )


@pytest.fixture(scope="module")
def short(recipe):
    """One epoch, no baselines."""
    return replace(recipe, epochs=1, baselines=False, images=replace(recipe.images, batch_size=50))


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory):
    """A run folder and the network that was trained there."""
    run = new_run(tmp_path_factory.mktemp("runs") / "digits")
    return run, fit(recipe, run)


@pytest.fixture(scope="module")
def evaluation(recipe, trained):
    run, network = trained
    return evaluate_run(run, network, recipe, system="ranet", batch_sizes=(), describe=describe)


# --- what a training leaves ---


def test_run_folder_holds_everything(trained):
    run, _ = trained
    assert all(path.is_file() for path in (run.weights, run.splits, run.baselines, run.metrics))
    assert run.finished_stages() == ["exits", "plain"]


def test_exits_are_averaged_in_fitting_and_evaluation_where_the_recipe_says_so(short, tmp_path):
    recipe = replace(short, average_exits=True, budget=1.0)
    run = new_run(tmp_path / "run")
    network = fit(recipe, run)
    found = evaluate_run(run, network, recipe, system="ranet", batch_sizes=(), describe=describe)
    (detail,) = found.details
    assert "An answer is the mean of the probabilities of the exits so far" in detail.note
    assert "ECE after temperature" not in detail.columns
    macs = dict(zip(network.costs.route_names, network.costs.per_route, strict=True))
    paid = sum(share * macs[name] for name, share in found.calibrated.shares.items())
    assert found.calibrated.cost == pytest.approx(paid)


def test_stored_network_decides_as_the_returned_one(trained):
    run, network = trained
    stored = load_network(run.weights, {"ranet": RANet})
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(stored.state_dict(), network.state_dict(), rtol=0, atol=0)
    assert torch.equal(stored.predict(images, 0.5).routes, network.predict(images, 0.5).routes)
    assert not network.training


def test_exits_are_fitted_on_the_calibration_part_alone(trained):
    run, network = trained
    assert isinstance(network.policy, GeometricRule)
    assert network.policy.rows == len(Splits.load(run.splits).calibration)
    assert (network.temperatures.values() != 1).all()


def test_fitted_rule_deals_out_its_calibration_samples(recipe, trained, evaluation):
    calibration = evaluation.calibration
    assert 0.9 * calibration.target < calibration.achieved <= calibration.target
    assert calibration.target == pytest.approx(recipe.budget * calibration.plain)


def test_metrics_tell_of_every_epoch(trained):
    rows = read_jsonl(trained[0].metrics)
    epochs = [(row["stage"], row["epoch"]) for row in rows if "val/accuracy" in row]
    assert epochs == [(stage, epoch) for stage in ("exits", "plain") for epoch in range(6)]
    assert all("val/accuracy_exit1" in row for row in rows if row["stage"] == "exits" and "val/accuracy" in row)


def test_network_has_learnt(evaluation):
    assert evaluation.calibrated.low > 2 * CHANCE


def test_baselines_are_the_last_exit_alone_and_a_plain_network(trained, evaluation):
    run, network = trained
    last, plain = read_baselines(run)
    assert (last.name, plain.name) == ("last exit alone", "plain digit_resnet")
    assert last.cost == network.costs.plain < network.costs.per_route[-1]
    assert last.worth == evaluation.curve.static[0].worth
    assert plain.cost == count_network_macs(create_backbone("digit_resnet", 5), (1, 3, 16, 16))


def test_evaluation_shows_its_exits(evaluation):
    (detail,) = evaluation.details
    assert [row[0] for row in detail.rows] == ["exit 1", "exit 2"]
    assert "ECE after temperature" in detail.columns


def test_finished_run_is_not_trained_again(recipe, trained):
    run, network = trained
    lines = run.metrics.read_text()
    again = fit(recipe, run)
    torch.testing.assert_close(again.state_dict(), network.state_dict(), rtol=0, atol=0)
    assert run.metrics.read_text() == lines


# --- ways to train ---


@pytest.mark.parametrize(
    "options",
    [
        {"exit_rule": "gain"},
        {"ema_decay": 0.9},
        {"head": "full", "structure": replace(TINY, layers=6), "budget": 1.0},
        {"temperature": False},
    ],
    ids=lambda options: next(iter(options)),
)
def test_other_ways_to_train_leave_a_network_that_loads(short, tmp_path, options):
    run = new_run(tmp_path / "run")
    network = fit(replace(short, **options), run)
    stored = load_network(run.weights, {"ranet": RANet})
    torch.testing.assert_close(stored.state_dict(), network.state_dict(), rtol=0, atol=0)
    assert all(weight.isfinite().all() for weight in stored.parameters())
    assert run.finished_stages() == ["exits"]


def test_same_seed_gives_the_same_weights_and_another_does_not(short, tmp_path):
    first, second, other = (
        fit(replace(short, seed=seed), new_run(tmp_path / str(number))).state_dict()
        for number, seed in enumerate((1, 1, 2))
    )
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    name = "stem.finest.0.weight"
    assert not torch.equal(first[name], other[name])


# --- what cannot be trained ---


@pytest.fixture
def untrained(monkeypatch):
    """Fails where anything is trained."""

    def refuse(*args, **kwargs):
        raise AssertionError("training began")

    monkeypatch.setattr(fitting.ClassifierFitting, "run_stage", refuse)


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"budget": 0.05},
            r"budget 0\.05 is out of reach: the first exit takes \d\.\d+ of the multiply-adds of the last",
        ),
        ({"baselines": True, "plain": "digit_resnt"}, "backbone 'digit_resnt' is not known: did you mean digit_resnet"),
    ],
    ids=["budget", "plain"],
)
def test_impossible_recipe_is_refused_before_any_work(short, tmp_path, options, message):
    with pytest.raises(RecipeError, match=message):
        fit(replace(short, **options), new_run(tmp_path / "run"))


def test_missing_data_are_refused(short, tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist; data can be"):
        fit(replace(short, data=str(tmp_path / "nowhere")), new_run(tmp_path / "run"))


def test_damaged_images_are_left_out_by_name_or_refused(short, tmp_path, easy_digits, caplog):
    folder = tmp_path / "digits"
    shutil.copytree(easy_digits, folder)
    broken, *others = sorted((folder / "calibration").rglob("*.png"))
    broken.write_bytes(b"not a picture")
    network = fit(replace(short, data=str(folder)), new_run(tmp_path / "run"))
    assert network.policy.rows == len(others)
    assert f"left out {broken.relative_to(folder)}" in caplog.text
    strict = replace(short, data=str(folder), images=replace(short.images, strict=True))
    with pytest.raises(DataError, match=broken.name):
        fit(strict, new_run(tmp_path / "strict"))


def test_diverging_training_ends_with_its_reason_and_leaves_no_weights(short, tmp_path):
    run = new_run(tmp_path / "run")
    steep = replace(short, optimizer=SgdOptions(1e30), schedule=Schedule("steps"))
    with pytest.raises(DivergedError, match=r"stage exits diverged: the loss of step 2 is nan, in epoch 1 of 1;"):
        fit(steep, run)
    assert not run.weights.exists()
    assert not list(run.stage("exits").glob("*.ckpt"))
