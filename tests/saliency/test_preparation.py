import shutil

import pytest
from PIL import Image

from modicum.recipes import build_recipe, read_recipe
from modicum.saliency.preparation import prepare
from modicum.saliency.recipe import SaliencyRecipe
from modicum.storage.errors import DataError
from modicum.storage.runs import RunFolder


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_picture_or_mask_that_changed_behind_its_name_is_noticed(scenes_folder, tmp_path, kind):
    folder = shutil.copytree(scenes_folder, tmp_path / "scenes")
    recipe = build_recipe(SaliencyRecipe, {**read_recipe("saliency-quick"), "data": str(folder)})
    run = RunFolder.create(tmp_path / "run", system="saliency", recipe_text="", command="", versions={})
    prepare(recipe, run)
    changed = sorted((folder / "test" / kind).iterdir())[0]
    Image.new("RGB" if kind == "images" else "L", (40, 40), 255).save(changed)
    with pytest.raises(DataError, match=rf"1 of \d+ samples of .*scenes are not what .*{changed.stem}.* changed; put"):
        prepare(recipe, run)
    prepare(recipe, run, parts=("calibration",))
