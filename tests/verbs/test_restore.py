import json

import numpy as np
import pytest
import torch
from PIL import Image

from modicum import verbs
from modicum.prediction import Failure
from modicum.recipes import build_recipe, recipe_text
from modicum.restore.preparation import open_parts
from modicum.restore.rnan.network import RNAN
from modicum.restore.rnan.recipe import RNANRecipe
from modicum.restore.task import Task
from modicum.storage.errors import OutputError, RecipeError, RunError
from modicum.storage.runs import RunFolder
from modicum.storage.weights import save_network


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Smooth photographs, divided into train, val and test."""
    root = tmp_path_factory.mktemp("photos")
    rows, columns = np.mgrid[:64, :72]
    for number, part in enumerate(["train"] * 3 + ["val", "test", "test"]):
        (root / part).mkdir(exist_ok=True)
        values = 128 + 60 * np.sin(rows / (3 + number)) + 50 * np.cos(columns / (5 + number))
        Image.fromarray(values.astype(np.uint8)).save(root / part / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """What a training leaves, as far as the verbs need it."""
    options = {
        "data": str(photos),
        "task": {"name": "denoise", "level": 50},
        "network": {"features": 4, "local_groups": 0, "non_local": False},
        "patches": {"side": 16},
        "tile": 32,
        "halo": 4,
        "trainer": {"accelerator": "cpu", "threads": 1},
    }
    recipe = build_recipe(RNANRecipe, options)
    path = tmp_path_factory.mktemp("run") / "run"
    run = RunFolder.create(
        path, system="rnan", recipe_text=recipe_text(recipe), command="modicum train rnan", versions={}
    )
    open_parts(recipe.data, recipe.task, recipe.patches, recipe.seed, run)
    torch.manual_seed(0)
    save_network(run.weights, RNAN(1, features=4, local_groups=0, non_local=False))
    return path


@pytest.fixture
def inputs(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, size in (("a.png", (30, 20)), ("b.jpg", (21, 33))):
        Image.new("RGB", size, "gray").save(folder / name)
    return folder


def test_folder_of_photographs_becomes_a_folder_of_png_files(run, inputs, tmp_path):
    results = list(verbs.predict(run, [inputs], out=tmp_path / "out"))
    assert [result.name for result in results] == [str(inputs / "a.png"), str(inputs / "b.jpg")]
    with Image.open(tmp_path / "out" / "b.png") as written:
        assert written.size == (21, 33)
    assert sorted(file.name for file in (tmp_path / "out").glob("[!.]*")) == ["a.png", "b.png"]


def test_one_photograph_becomes_the_file_that_is_named(run, inputs, tmp_path):
    list(verbs.predict(run, [inputs / "a.png"], out=tmp_path / "new" / "clean.jpg"))
    with Image.open(tmp_path / "new" / "clean.jpg") as written:
        assert (written.format, written.size) == ("JPEG", (30, 20))


def test_comparison_is_written_beside(run, inputs, tmp_path):
    list(verbs.predict(run, [inputs / "a.png"], out=tmp_path / "out", comparison=True))
    with Image.open(tmp_path / "out" / "a_comparison.png") as sheet:
        assert sheet.size == (2 * 30 + 8, 20)


def test_one_file_for_several_photographs_is_refused(run, inputs, tmp_path):
    with pytest.raises(RecipeError, match=r"one\.png is one file, but there are 2 inputs: name a folder"):
        list(verbs.predict(run, [inputs], out=tmp_path / "one.png"))


def test_two_photographs_of_one_name_are_refused_before_any_is_restored(run, inputs, tmp_path):
    Image.new("L", (9, 9)).save(inputs / "a.bmp")
    with pytest.raises(RecipeError, match=r"a\.bmp and .*a\.png would both be written as .*a\.png"):
        list(verbs.predict(run, [inputs], out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_comparison_that_would_take_the_place_of_a_photograph_is_refused(run, inputs, tmp_path):
    Image.new("L", (9, 9)).save(inputs / "a_comparison.png")
    with pytest.raises(RecipeError, match=r"would both be written as .*a_comparison\.png"):
        list(verbs.predict(run, [inputs], out=tmp_path / "out", comparison=True))


def test_inputs_are_not_written_over(run, inputs):
    before = (inputs / "a.png").read_bytes()
    with pytest.raises(OutputError, match="would take the place of the input"):
        list(verbs.predict(run, [inputs], out=inputs, force=True))
    assert (inputs / "a.png").read_bytes() == before


def test_broken_file_is_told_and_costs_only_itself(run, inputs, tmp_path):
    (inputs / "a.png").write_bytes(b"nothing")
    results = list(verbs.predict(run, [inputs], out=tmp_path / "out"))
    assert isinstance(results[0], Failure)
    assert [file.name for file in (tmp_path / "out").glob("[!.]*")] == ["b.png"]


@pytest.fixture
def no_work(monkeypatch):
    """Makes every restoration fail, so that what is refused before it can be told."""
    from modicum.restore.predictor import Predictor

    def restore_page(*_):
        raise AssertionError("work was done")

    monkeypatch.setattr(Predictor, "_restore_page", restore_page)


@pytest.mark.parametrize(("suffix", "form"), [(".jpg", "JPEG"), (".bmp", "BMP")])
@pytest.mark.usefixtures("no_work")
def test_photograph_that_the_format_cannot_hold_is_refused_before_the_work(run, tmp_path, suffix, form):
    Image.new("RGBA", (9, 9)).save(tmp_path / "alpha.png")
    (result,) = verbs.predict(run, [tmp_path / "alpha.png"], out=tmp_path / f"out{suffix}")
    assert isinstance(result, Failure)
    assert f"{form} has no alpha" in result.reason


@pytest.mark.usefixtures("no_work")
def test_pages_that_the_format_cannot_hold_are_refused_before_the_work(run, tmp_path):
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "two.webp", save_all=True, append_images=frames[1:], lossless=True)
    (result,) = verbs.predict(run, [tmp_path / "two.webp"], out=tmp_path / "out.jpg")
    assert "JPEG holds one picture, not 2 pages or frames" in result.reason


def test_all_pages_are_restored(run, tmp_path):
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "blue", "gray")]
    frames[0].save(tmp_path / "three.tif", save_all=True, append_images=frames[1:])
    (result,) = verbs.predict(run, [tmp_path / "three.tif"], out=tmp_path / "out")
    with Image.open(tmp_path / "out" / "three.tif") as written:
        assert written.n_frames == 3
    assert result.to_json()["pages"] == 3
    assert "3 pages of 30x20 pixels" in str(result)


@pytest.mark.parametrize("name", ["out.gif", "out.heic", "out.GIF"])
def test_picture_that_cannot_be_written_does_not_become_a_folder(run, inputs, tmp_path, name):
    with pytest.raises(RecipeError, match=r"cannot be written: .* is none of \.png"):
        list(verbs.predict(run, [inputs / "a.png"], out=tmp_path / name))
    assert not (tmp_path / name).exists()


def test_bitmaps_can_be_written(run, inputs, tmp_path):
    list(verbs.predict(run, [inputs / "a.png"], out=tmp_path / "out.bmp"))
    with Image.open(tmp_path / "out.bmp") as written:
        assert (written.format, written.size) == ("BMP", (30, 20))


@pytest.mark.usefixtures("no_work")
def test_photograph_that_the_format_cannot_hold_costs_only_itself(run, inputs, tmp_path):
    Image.new("RGBA", (9, 9)).save(tmp_path / "alpha.png")
    (result,) = verbs.predict(run, [tmp_path / "alpha.png"], out=tmp_path / "out.jpg")
    assert isinstance(result, Failure)
    assert "JPEG has no alpha" in result.reason


def test_tile_and_memory_reach_the_network(run):
    predictor = verbs.predictor(run, tile=48, memory_gib=0.5, ensemble=True)
    inference = predictor.restorer
    assert (inference.tiling.tile, inference.memory_gib, inference.is_ensemble) == (48, 0.5, True)
    assert verbs.predictor(run).restorer.tiling.tile == 32


def test_evaluation_is_kept_reported_and_compared(run):
    with pytest.raises(RunError, match=r"no figures\.json yet"):
        verbs.figures(run)

    report = verbs.report(run)

    assert verbs.figures(run).headline == report.headline
    assert "the best of the others, BM3D" in (run / "report.html").read_text()
    assert [row.cells[0] for row in report.sections[0].table.rows][:3] == ["network", "network, self-ensemble", "noisy"]
    assert verbs.compare([run]).sections[0].table.rows[0].cells[0] == str(run)
    json.dumps(report.to_json(), allow_nan=False)


def test_export_is_of_the_tile_of_the_run(run, tmp_path):
    pytest.importorskip("onnxruntime", reason="the export extra is not installed")
    from modicum.restore.rnan.runner import OnnxRNAN

    folder = verbs.export(run, out=tmp_path / "exported")

    assert (OnnxRNAN(folder).tiling.tile, OnnxRNAN(folder).tiling.halo) == (32, 4)


def test_data_says_what_a_set_holds(photos):
    assert verbs.data(str(photos), task="restore").headline == f"6 images of {photos} can be used, 0 left out"


def test_out_that_is_no_picture_is_a_folder(run, inputs, tmp_path):
    list(verbs.predict(run, [inputs], out=tmp_path / "out.v2"))
    assert sorted(file.name for file in (tmp_path / "out.v2").glob("[!.]*")) == ["a.png", "b.png"]


@pytest.mark.parametrize("name", ["out.heic", "out.gif"])
def test_out_of_a_format_that_is_not_written_is_refused_and_makes_no_folder(run, inputs, tmp_path, name):
    with pytest.raises(RecipeError, match=rf"{name} cannot be written: \.\w+ is none of \.png"):
        list(verbs.predict(run, [inputs / "a.png"], out=tmp_path / name))
    assert not (tmp_path / name).exists()


def test_answer_says_where_photograph_and_comparison_stand(run, inputs, tmp_path):
    (restored,) = verbs.predict(run, [inputs / "a.png"], out=tmp_path / "clean.png", comparison=True)
    files = {"restored": str(tmp_path / "clean.png"), "comparison": str(tmp_path / "clean_comparison.png")}
    assert restored.to_json()["files"] == files
    assert str(restored).endswith(f", written: {files['restored']}, {files['comparison']}")


def test_ensemble_is_refused_where_flips_change_the_colours(run, monkeypatch):
    monkeypatch.setattr(Task, "has_symmetries", False)
    with pytest.raises(RecipeError, match="which a Bayer mosaic does not stand"):
        verbs.predictor(run, ensemble=True)


def test_partial_evaluation_does_not_replace_the_figures_of_the_run(run):
    verbs.evaluate(run)
    before = (run / "figures.json").read_bytes()
    verbs.evaluate(run, classics=False, ensemble=False)
    assert (run / "figures.json").read_bytes() == before
