import pytest

from modicum import verbs
from modicum.recipes import build_recipe, read_recipe, recipe_text
from modicum.storage import RunFolder
from modicum.storage.errors import MissingExtraError, RunError
from modicum.systems import check_packages, get_system


def test_training_whose_report_could_not_be_made_is_refused_before_it_starts(tmp_path, monkeypatch):
    system = get_system("rnan")
    monkeypatch.setattr(system, "packages", ("no_such_package",))
    recipe = build_recipe(system.recipe, read_recipe("rnan-quick"))
    with pytest.raises(MissingExtraError, match=r"no_such_package.*pip install -e '\.\[restore\]'"):
        verbs.train_recipe(system, recipe, tmp_path / "run", resume=False)
    assert not (tmp_path / "run").exists()


def test_installed_packages_are_no_obstacle():
    check_packages(get_system("saliency"))


def test_verb_that_means_nothing_for_a_task_says_what_does(tmp_path):
    system = get_system("rnan")
    text = recipe_text(build_recipe(system.recipe, read_recipe("rnan-quick")))
    run = RunFolder.create(tmp_path / "run", system="rnan", recipe_text=text, command="", versions={})
    with pytest.raises(RunError, match="rnan has no calibrate; it has compare, data, evaluate"):
        verbs.calibrate(run.path, budget=0.5)


def test_runs_of_different_tasks_are_not_compared(quick_run):
    runs = [quick_run("static"), quick_run("rnan")]
    with pytest.raises(RunError, match=r"compare needs runs of one task, got .*\(classify\), .*\(restore\)"):
        verbs.compare(runs)
