from dataclasses import replace

import pytest

from modicum.classify.recipe import ImageOptions
from modicum.classify.resolution_and_blocks.fitting import fit
from modicum.classify.resolution_and_blocks.recipe import ResolutionAndBlocksRecipe
from modicum.storage.errors import DivergedError, RecipeError
from modicum.storage.runs import RunFolder
from modicum.training.recipe import SgdOptions, TrainerOptions


def new_run(path):
    return RunFolder.create(path, system="resolution-and-blocks", recipe_text="", command="", versions={})


@pytest.fixture(scope="module")
def recipe(digit_folder):
    return ResolutionAndBlocksRecipe(
        data=str(digit_folder),
        backbone="digit_resnet",
        resolutions=(32, 16),
        predictor="small",
        policy="small",
        budget=1.0,
        multi_resolution_epochs=1,
        joint_epochs=1,
        optimizer=SgdOptions(0.05),
        baselines=False,
        images=ImageOptions(batch_size=50, crop="none", flip=False, mean=(0.5,) * 3, std=(0.25,) * 3),
        trainer=TrainerOptions(accelerator="cpu", threads=1),
    )


def test_diverging_joint_stage_ends_with_its_name_and_no_bad_checkpoint(recipe, tmp_path):
    run = new_run(tmp_path / "run")
    with pytest.raises(DivergedError, match="stage joint diverged"):
        fit(replace(recipe, joint_rate=1e30), run)
    assert run.finished_stages() == ["multi_resolution"]
    assert not (run.stage("joint") / "last.ckpt").exists()


def test_backbone_without_droppable_blocks_is_refused(recipe, tmp_path):
    with pytest.raises(RecipeError, match=r"backbone: backbone SqueezeNet has no block that can be bypassed"):
        fit(replace(recipe, backbone="squeezenet1_1"), new_run(tmp_path / "run"))


def test_unknown_backbone_is_refused(recipe, tmp_path):
    with pytest.raises(RecipeError, match=r"^backbone 'digit_resnt' is not known: did you mean digit_resnet"):
        fit(replace(recipe, backbone="digit_resnt"), new_run(tmp_path / "run"))


def test_impossible_budget_is_refused_before_any_work(recipe, tmp_path):
    run = new_run(tmp_path / "run")
    with pytest.raises(RecipeError, match=r"budget 0\.01 is out of reach"):
        fit(replace(recipe, budget=0.01), run)
    assert not run.stage("multi_resolution").exists()
