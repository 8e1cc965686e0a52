from pathlib import Path

import pytest

from modicum import verbs
from modicum.storage import RecipeError
from modicum.verbs.restore import _targets


def test_one_input_becomes_the_file_that_was_named(tmp_path):
    assert _targets([Path("photo.jpg")], tmp_path / "out.PNG") == [tmp_path / "out.PNG"]


def test_folder_gets_one_file_for_each_input(tmp_path):
    files = [Path("a.jpg"), Path("b.tif")]
    assert _targets(files, tmp_path / "out.v2") == [tmp_path / "out.v2" / "a.png", tmp_path / "out.v2" / "b.png"]


def test_one_file_for_several_inputs_is_refused():
    with pytest.raises(RecipeError, match=r"--out out\.png is one file, but there are 2 inputs: name a folder"):
        _targets([Path("a.jpg"), Path("b.jpg")], Path("out.png"))


def test_inputs_that_would_become_one_file_are_named():
    with pytest.raises(RecipeError, match=r"a/dog\.jpg and b/dog\.png would both become out/dog\.png"):
        _targets([Path("a/dog.jpg"), Path("b/dog.png")], Path("out"))


def test_input_is_never_overwritten(tmp_path):
    with pytest.raises(RecipeError, match="would overwrite the input"):
        _targets([tmp_path / "a.png"], tmp_path)


def test_ensemble_is_refused_where_flips_change_the_colours(quick_run, tmp_path, monkeypatch):
    run = quick_run("rnan")
    from modicum.restore.task import Task

    monkeypatch.setattr(Task, "has_symmetries", False)
    with pytest.raises(RecipeError, match="which a Bayer mosaic does not stand"):
        verbs.predictor(run, ensemble=True)


def test_partial_evaluation_does_not_replace_the_figures_of_the_run(quick_run):
    run = quick_run("rnan")
    before = (run / "figures.json").read_bytes()
    verbs.evaluate(run, classics=False, ensemble=False)
    assert (run / "figures.json").read_bytes() == before


def test_photograph_is_restored_to_the_named_file_with_a_comparison_beside_it(quick_run, digit_folder, tmp_path):
    picture = next(digit_folder.rglob("*.png"))
    results = list(verbs.predict(quick_run("rnan"), [picture], out=tmp_path / "new.png", comparison=True))
    assert [result.name for result in results] == [str(picture)]
    assert {file.name for file in tmp_path.iterdir()} == {"new.png", "new_comparison.png"}
