import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from written_sets import write_scenes

from modicum import verbs
from modicum.prediction import Failure
from modicum.recipes import build_recipe, read_recipe
from modicum.saliency.network import SaliencyNet
from modicum.saliency.preparation import prepare
from modicum.saliency.recipe import SaliencyRecipe
from modicum.saliency.wing import TrainedSaliency
from modicum.storage import OutputError, RecipeError, RunFolder
from modicum.storage.weights import save_network

RECIPE = """\
data: {data}
image_px: 32
network: {{encoder: small, width: 8, steps: 1}}
trainer: {{accelerator: cpu, threads: 1}}
"""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A few scenes in files, six to train on, one to calibrate, three to test."""
    return write_scenes(tmp_path_factory.mktemp("scenes"), side=40, sizes=(6, 1, 3))


@pytest.fixture(scope="module")
def run(scenes, tmp_path_factory):
    """A run as a training leaves it, with weights that saw no training."""
    run = RunFolder.create(
        tmp_path_factory.mktemp("runs") / "run",
        system="saliency",
        recipe_text=RECIPE.format(data=scenes),
        command="modicum train saliency",
        versions={"torch": "2"},
    )
    prepare(build_recipe(SaliencyRecipe, read_recipe(run.recipe)), run)
    torch.manual_seed(0)
    save_network(run.weights, SaliencyNet("small", width=8, steps=1).eval())
    return run


@pytest.fixture
def photos(write_tree):
    return write_tree("a/dog.png", "a/cat.png", "b/dog.png")


def test_predict_writes_mask_cut_out_and_overlay(run, photos, tmp_path):
    (found,) = verbs.predict(run.path, [photos / "a/dog.png"], out=tmp_path / "out")
    written = {}
    for file in (tmp_path / "out").glob("[!.]*"):
        with Image.open(file) as picture:
            written[file.name] = picture.copy()
    assert {name: (picture.mode, picture.size) for name, picture in written.items()} == {
        "dog_cut_out.png": ("RGBA", (12, 10)),
        "dog_mask.png": ("L", (12, 10)),
        "dog_overlay.jpg": ("RGB", (12, 10)),
    }
    np.testing.assert_array_equal(np.asarray(written["dog_mask.png"]), found.mask)


def test_broken_file_costs_only_itself(run, photos, tmp_path):
    (photos / "a/cow.png").write_bytes(b"no picture")
    found = list(verbs.predict(run.path, [photos / "a"], out=tmp_path / "out", batch_size=2))
    assert [isinstance(each, Failure) for each in found] == [False, True, False]  # cat, cow, dog
    assert {file.name for file in (tmp_path / "out").glob("*_mask.png")} == {"cat_mask.png", "dog_mask.png"}


def test_inputs_of_one_name_are_refused_before_anything_is_computed(photos, tmp_path):
    (photos / "a/dog.jpg").write_bytes((photos / "a/dog.png").read_bytes())
    message = r"a.dog\.jpg and .*a.dog\.png would both be written as .*dog_mask\.png: .*one at a time"
    with pytest.raises(RecipeError, match=message):
        list(TrainedSaliency(None).predict([photos], out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_pictures_of_sub_folders_keep_their_folders_and_answers_say_where_they_stand(run, photos, tmp_path):
    found = list(verbs.predict(run.path, [photos], out=tmp_path / "out"))
    assert [str(each.files["mask"].relative_to(tmp_path / "out")) for each in found] == [
        "a/cat_mask.png",
        "a/dog_mask.png",
        "b/dog_mask.png",
    ]
    for each in found:
        assert all(file.is_file() and str(file) in str(each) for file in each.files.values())
        assert each.to_json()["files"] == {kind: str(file) for kind, file in each.files.items()}


def test_mask_of_the_user_is_kept_and_second_call_replaces_what_the_first_wrote(run, photos, tmp_path):
    out, picture = tmp_path / "gt", photos / "a/dog.png"
    list(verbs.predict(run.path, [picture], out=out))
    list(verbs.predict(run.path, [picture], out=out))
    (out / "dog_mask.png").write_bytes(b"drawn by hand")
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(OutputError, match=r"dog_mask\.png' was not written by modicum, or has been changed since"):
        list(verbs.predict(run.path, [picture], out=out))
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    list(verbs.predict(run.path, [picture], out=out, force=True))
    assert (out / "dog_mask.png").read_bytes() != b"drawn by hand"


def test_file_that_appears_meanwhile_costs_only_its_own_answer(run, photos, tmp_path):
    answers = verbs.predict(run.path, [photos / "a"], out=tmp_path / "out", batch_size=1)
    next(answers)
    (tmp_path / "out" / "dog_mask.png").write_bytes(b"mine")
    (kept,) = answers
    assert str(kept).startswith(f"{photos / 'a/dog.png'}: not written: ")
    assert (tmp_path / "out" / "dog_mask.png").read_bytes() == b"mine"


def test_masks_cannot_go_to_one_file(run, photos, tmp_path):
    with pytest.raises(RecipeError, match=r"mask\.bmp is a file, but several are written for each input"):
        list(verbs.predict(run.path, [photos / "a/cat.png"], out=tmp_path / "mask.bmp"))
    assert not (tmp_path / "mask.bmp").exists()


def test_report_of_a_run_in_a_folder_that_is_not_utf8_is_written(run, tmp_path):
    strange = tmp_path / (os.fsdecode(b"caf\xe9") + "\x1b[2J")
    shutil.copytree(run.path, strange)
    verbs.report(strange)
    page = RunFolder(strange).report.read_text(encoding="utf-8")
    assert r"caf\udce9\x1b[2J" in page
    assert "\x1b" not in page


def test_report_that_was_changed_is_kept_before_anything_is_measured(run):
    verbs.report(run.path)
    verbs.report(run.path)
    run.report.write_text("my notes")
    with pytest.raises(OutputError, match=r"report\.html' was not written by modicum, or has been changed since"):
        verbs.report(run.path)
    assert run.report.read_text() == "my notes"
    verbs.report(run.path, force=True)
    assert "my notes" not in run.report.read_text()


def test_file_that_is_named_twice_is_refused(photos, tmp_path):
    with pytest.raises(RecipeError, match="name each input once"):
        list(TrainedSaliency(None).predict([photos / "a/cat.png", photos / "a"], out=tmp_path / "out"))


def test_report_writes_page_and_figures_that_can_be_read_and_compared(run):
    report = verbs.report(run.path)
    assert "modicum train saliency" in run.report.read_text()
    assert verbs.figures(run.path).headline == report.headline
    compared = verbs.compare([run.path])
    assert [row.cells[0] for row in compared.sections[0].table.rows if row.is_ours] == [str(run.path)]


def test_data_says_how_a_set_would_be_split(scenes, tmp_path):
    found = verbs.data(str(scenes), preview=tmp_path / "preview.png", task="saliency")
    assert found.figures["splits"] == {"train": 6, "calibration": 1, "test": 3}
    assert (tmp_path / "preview.png").is_file()
