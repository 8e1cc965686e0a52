import numpy as np
import pytest
import torch
from PIL import Image

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


def write_stripes(root):
    """Pictures of 32 px: in half of them the colour tells the class, in the others the direction of fine stripes."""
    random = np.random.default_rng(0)
    for part, count in IMAGES.items():
        for number in range(count):
            pixels = random.integers(0, 60, (32, 32, 3), np.uint8)
            is_red = number % 2 == 0
            if number % 4 < 2:
                pixels[..., 0 if is_red else 2] += 100
            elif is_red:
                pixels[::2] += 150  # gone at 8 px
            else:
                pixels[:, ::2] += 150
            file = root / part / ("red" if is_red else "blue") / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
    return str(root)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return CascadeRecipe(
        write_stripes(tmp_path_factory.mktemp("stripes")),
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
