import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from modicum.datasets.splits import Splits
from modicum.recipes import build_recipe
from modicum.restore.evaluation import baseline_path, load_baseline
from modicum.restore.rnan.fitting import build_network, fit, is_foreign, load_start
from modicum.restore.rnan.network import RNAN
from modicum.restore.rnan.published import published_names
from modicum.restore.rnan.recipe import RNANRecipe
from modicum.restore.task import Task
from modicum.storage.errors import DataError, DivergedError, WeightsError
from modicum.storage.files import read_jsonl
from modicum.storage.runs import RunFolder
from modicum.storage.weights import load_network, read_header, save_network

NOISE = Task("denoise", 50)


def new_run(path):
    return RunFolder.create(path, system="rnan", recipe_text="", command="", versions={})


@pytest.fixture(scope="module")
def recipe(quick_options):
    return build_recipe(RNANRecipe, quick_options)


@pytest.fixture(scope="module")
def trained(quick_training):
    """The network of the quick training as it is loaded, and its run folder."""
    run, _ = quick_training
    return load_network(run.weights, {"rnan": RNAN}), run


def rows_of(run, stage, figure):
    return [row[figure] for row in read_jsonl(run.metrics) if row["stage"] == stage and figure in row]


def test_saved_network_is_the_trained_one(trained, quick_training):
    network, run = trained
    torch.testing.assert_close(dict(network.state_dict()), quick_training[1], rtol=0, atol=0)
    assert not network.training
    assert read_header(run.weights).notes["task"] == NOISE.title


def test_run_records_which_image_is_for_what(trained):
    assert Splits.load(trained[1].splits).ids() == {
        "train": tuple(f"train/{number}.png" for number in range(4)),
        "calibration": ("val/4.png", "val/5.png"),
        "test": ("test/6.png", "test/7.png"),
    }


def test_both_stages_are_watched_in_every_epoch(trained):
    run = trained[1]
    assert run.finished_stages() == ["restoration", "dncnn"]
    for stage in ("restoration", "dncnn"):
        psnr = rows_of(run, stage, "val/psnr")
        assert len(psnr) == 3
        assert all(10 < value < 40 for value in psnr)


def test_training_lowers_the_loss(trained):
    losses = rows_of(trained[1], "restoration", "train/loss")
    assert losses[-1] < losses[0]


def test_plain_baseline_of_equal_cost_is_left_beside_the_network(trained):
    network, run = trained
    plain = load_baseline(run, "cpu")
    assert baseline_path(run).is_file()
    assert plain.macs_per_pixel == pytest.approx(network.macs_per_pixel, rel=0.2)


def test_finished_run_is_not_trained_again(trained, recipe, tmp_path):
    network, run = trained[0], RunFolder(shutil.copytree(trained[1].path, tmp_path / "run"))
    lines = run.metrics.read_text()
    again = fit(recipe, run)
    torch.testing.assert_close(again.state_dict(), network.state_dict(), rtol=0, atol=0)
    assert run.metrics.read_text() == lines


def test_no_baseline_is_trained_where_none_is_wanted(recipe, tmp_path):
    run = new_run(tmp_path / "run")
    fit(replace(recipe, epochs=1, baselines=False), run)
    assert run.finished_stages() == ["restoration"]
    assert load_baseline(run, "cpu") is None


@pytest.mark.parametrize(
    "task",
    [
        {"name": "jpeg", "level": 10},
        {"name": "demosaic", "level": None},
        {"name": "super-resolution", "level": 2},
        {"name": "denoise", "level": 25, "colour": True, "noise": "float"},
    ],
)
def test_every_task_is_trained(task, quick_options, tmp_path):
    options = {**quick_options, "task": task, "epochs": 1, "ema_decay": None, "loss": None}
    network = fit(build_recipe(RNANRecipe, options), new_run(tmp_path / "run"))
    assert all(weight.isfinite().all() for weight in network.state_dict().values())


def test_loss_that_is_no_number_ends_the_training(recipe, tmp_path):
    network = RNAN(1, features=4, local_groups=0)
    with torch.no_grad():
        network.tail[-1].bias.fill_(3e38)  # weights that are not finite are refused before
    save_network(tmp_path / "start.safetensors", network)
    run = new_run(tmp_path / "run")

    with pytest.raises(DivergedError, match=r"stage restoration diverged: the loss of step 1 is inf"):
        fit(replace(recipe, weights=str(tmp_path / "start.safetensors")), run)

    assert not run.weights.exists()


class TestStart:
    def test_from_a_run_as_it_is(self, trained, recipe, tmp_path):
        network, run = trained
        started = fit(replace(recipe, weights=str(run.path), epochs=0), new_run(tmp_path / "run"))
        torch.testing.assert_close(started.state_dict(), network.state_dict(), rtol=0, atol=0)

    def test_from_a_run_goes_on_training(self, trained, recipe, tmp_path):
        network, first = trained
        run = new_run(tmp_path / "run")
        fit(replace(recipe, weights=str(first.weights), epochs=1, baselines=False), run)
        assert any(not torch.equal(tensor, network.state_dict()[key]) for key, tensor in load_file(run.weights).items())

    @pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
    def test_from_a_state_by_the_authors_names(self, suffix, tmp_path):
        torch.manual_seed(0)
        network = RNAN(1, features=4, local_groups=1, normalize="outputs")
        names = published_names(network)
        state = {names[ours]: tensor.detach() for ours, tensor in network.named_parameters()}
        path = tmp_path / f"state{suffix}"
        (save_file if suffix == ".safetensors" else torch.save)(state, path)

        started = build_network(RNANRecipe(weights=str(path)))

        assert is_foreign(path)
        assert started.storage_config() == network.storage_config()
        torch.testing.assert_close(started.state_dict(), network.state_dict(), rtol=0, atol=0)

    def test_of_other_channels_is_refused(self, trained):
        message = r"is for 1 channel\(s\) at scale 1, but the task, Bayer .*, needs 3 at scale 1"
        with pytest.raises(WeightsError, match=message):
            load_start(str(trained[1].weights), Task("demosaic"))

    def test_of_another_scale_is_refused(self, tmp_path):
        save_network(tmp_path / "x2.safetensors", RNAN(3, scale=2, features=4, local_groups=0))
        with pytest.raises(WeightsError, match="needs 3 at scale 3"):
            load_start(str(tmp_path / "x2.safetensors"), Task("super-resolution", 3))

    def test_that_is_missing_is_refused(self, tmp_path):
        for name in ("none.safetensors", "none.pt", "run"):
            with pytest.raises(WeightsError, match=f"{name} does not exist: give a run folder"):
                load_start(str(tmp_path / name), NOISE)


@pytest.fixture
def own_folder(tmp_path, picture):
    folder = tmp_path / "own"
    folder.mkdir()
    for number in range(5):
        Image.fromarray(picture(number)).save(folder / f"{number}.png")
    return folder


def test_parts_that_were_drawn_stay_when_the_run_goes_on(recipe, own_folder, tmp_path, picture):
    run = new_run(tmp_path / "run")
    recipe = replace(recipe, data=str(own_folder), epochs=1, baselines=False)
    network = fit(recipe, run)
    before = run.splits.read_text()
    Image.fromarray(picture(9)).save(own_folder / "0_new.png")  # would be drawn differently now

    again = fit(recipe, run)

    assert run.splits.read_text() == before
    torch.testing.assert_close(again.state_dict(), network.state_dict(), rtol=0, atol=0)


def test_image_that_the_run_used_and_that_is_gone_is_named(recipe, own_folder, tmp_path):
    run = new_run(tmp_path / "run")
    recipe = replace(recipe, data=str(own_folder), epochs=1, baselines=False)
    fit(recipe, run)
    (own_folder / "3.png").unlink()

    with pytest.raises(DataError, match=r"1 of 5 samples of the splits are no longer in .*own: '3\.png'; restore them"):
        fit(recipe, run)
