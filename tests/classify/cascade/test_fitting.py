import pytest
import torch
from classify_cascade import write_colours

from modicum.adaptive.cascades import NUM_LEVELS, NestedThresholds
from modicum.classify.cascade.fitting import fit
from modicum.classify.cascade.members import rebuild_cascade
from modicum.classify.cascade.recipe import CascadeRecipe
from modicum.classify.evaluation import calibrate_run, open_data
from modicum.classify.recipe import ImageOptions
from modicum.storage.runs import RunFolder
from modicum.storage.weights import load_network, save_network
from modicum.training.recipe import TrainerOptions

IMAGES = {"train": 200, "val": 200, "test": 20}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return CascadeRecipe(
        str(write_colours(tmp_path_factory.mktemp("colours"), **IMAGES)),
        backbone="mobilenetv2_035",
        weights=None,
        image_px=32,
        sizes=(8,),
        exits=1,
        steps=2,
        folds=2,
        budget=0.6,
        images=ImageOptions(batch_size=50, crop="none", flip=False, mean=(0.5,) * 3, std=(0.25,) * 3, num_workers=0),
        trainer=TrainerOptions(accelerator="cpu", threads=1),
    )


@pytest.fixture(scope="module")
def fitted(recipe, tmp_path_factory):
    run = RunFolder.create(
        tmp_path_factory.mktemp("runs") / "run", system="cascade", recipe_text="", command="", versions={}
    )
    return run, fit(recipe, run)


def test_a_small_size_and_the_full_one_make_the_cascade(fitted):
    assert fitted[1].costs.route_names == ("8 px", "32 px")


def test_knob_meets_a_budget_to_less_than_a_coarse_level_of_thresholds(recipe, fitted):
    run, network = fitted
    assert network.policy.rows > NUM_LEVELS
    cheap, full = network.costs.per_route
    for share in (0.3, 0.5, 0.7, 0.9):
        target = cheap + share * (full - cheap)
        made = calibrate_run(run, network, open_data(recipe, run), network.costs, target)
        assert 0 <= target - made.achieved < (full - cheap) / NUM_LEVELS


def test_weights_with_fewer_rows_of_thresholds_still_open(fitted, tmp_path):
    network = fitted[1]
    table = network.policy.table.values()
    network.policy = NestedThresholds(table[::8])
    save_network(tmp_path / "model.safetensors", network)
    loaded = load_network(tmp_path / "model.safetensors", {"cascade": rebuild_cascade})
    network.policy = NestedThresholds(table)
    assert torch.equal(loaded.policy.table.values(), table[::8])
