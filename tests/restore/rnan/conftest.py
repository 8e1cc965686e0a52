import pytest
from safetensors.torch import load_file, save_file

from modicum.recipes import build_recipe
from modicum.restore.rnan.fitting import fit
from modicum.restore.rnan.recipe import RNANRecipe
from modicum.storage.runs import RunFolder


@pytest.fixture(scope="session")
def quick_options(photos_folder):
    """A training of seconds, with all that a resumption must not lose."""
    return {
        "data": str(photos_folder),
        "task": {"name": "denoise", "level": 50},
        "network": {"features": 4, "local_groups": 0, "non_local": True, "value_range": 1.0},
        "patches": {"side": 16, "batch_size": 4, "per_epoch": 40, "validation_side": 16},
        "epochs": 3,
        "learning_rate": 0.002,
        "schedule": {"kind": "one_cycle"},
        "gradient_clip": 1.0,
        "ema_decay": 0.9,
        "tile": 32,
        "halo": 4,
        "trainer": {"accelerator": "cpu", "threads": 1},
    }


@pytest.fixture(scope="session")
def quick_training(quick_options, made_once):
    """The run folder of the quick training, and the weights that it returned; not to be changed."""

    def train(folder):
        run = RunFolder.create(folder / "run", system="rnan", recipe_text="", command="", versions={})
        network = fit(build_recipe(RNANRecipe, quick_options), run)
        assert not network.training
        save_file(
            {name: value.clone() for name, value in network.state_dict().items()}, folder / "returned.safetensors"
        )

    folder = made_once("training-rnan", train)
    return RunFolder.open(folder / "run"), load_file(folder / "returned.safetensors")
