"""What every registered system must do, whatever it is; no system is known by name here."""

import functools
import importlib.util
import itertools
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from modicum import verbs
from modicum.cli import main
from modicum.prediction import Failure
from modicum.presenting import present, with_files
from modicum.recipes import build_recipe, read_recipe, recipe_names, recipe_text
from modicum.storage import RecipeError, RunFolder
from modicum.systems import SYSTEMS, get_system

THREADS = Path(__file__).parents[1] / "benchmarks" / "threads.py"


def load_threads():
    spec = importlib.util.spec_from_file_location("threads", THREADS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


threads = load_threads()
pytestmark = pytest.mark.parametrize("name", list(SYSTEMS))


@pytest.fixture(scope="module")
def predictor_of(quick_run):
    """Function from a system to what answers with its quick run, loaded once; not to be changed."""
    return functools.cache(lambda system: verbs.predictor(quick_run(system)))


def test_named_recipes_of_the_system_are_valid(name):
    system = get_system(name)
    own = [recipe for recipe in recipe_names() if recipe.startswith(f"{name}-")]
    assert {system.default_recipe, system.own_data_recipe, f"{name}-quick"} <= set(own)
    for recipe in own:
        build_recipe(system.recipe, read_recipe(recipe))


def test_recipe_in_the_run_folder_gives_the_same_recipe_again(name, quick_run):
    run = quick_run(name)
    recipe = build_recipe(get_system(name).recipe, read_recipe(run / "recipe.yaml"))
    assert recipe_text(recipe) == (run / "recipe.yaml").read_text()


def test_training_leaves_everything_a_user_needs(name, quick_run):
    run = quick_run(name)
    for file in ("model.safetensors", "recipe.yaml", "metrics.jsonl", "report.html"):
        assert (run / file).stat().st_size > 0, file


def test_stages_are_those_that_were_told_before_the_first(name, quick_run):
    system, run = get_system(name), RunFolder.open(quick_run(name))
    recipe = build_recipe(system.recipe, read_recipe(run.recipe))
    planned = sys.modules[system.fit().__module__].planned_epochs(recipe)
    finished = run.finished_stages()
    assert [stage for stage in planned if stage in finished] == finished
    assert set(planned) == {*finished, *(folder.name for folder in run.path.glob("stages/*"))}


def test_figures_of_the_run_can_be_read_and_shown(name, quick_run, capsys):
    figures = verbs.figures(quick_run(name))
    present(with_files(figures, {}), as_json=False)
    present(with_files(figures, {}), as_json=True)
    output = capsys.readouterr().out
    assert json.loads(output[output.index("\n{\n") :])["system"] == name


def test_loaded_network_has_the_saved_weights(name, quick_run):
    run = quick_run(name)
    state = verbs.load(run).state_dict()
    saved = load_file(run / "model.safetensors")
    assert set(saved) == set(state)
    assert all(torch.equal(saved[key], state[key]) for key in saved)


def assert_alike(found, expected):
    """Both are the same plain data, numbers up to the rounding of another batch."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other)
    else:
        assert found == (pytest.approx(expected, abs=1e-4) if isinstance(expected, float) else expected)


def test_a_broken_input_among_good_ones_costs_only_itself(name, predictor_of, inputs_of):
    predictor, (good, broken, other) = predictor_of(name), inputs_of(name)
    results = list(predictor.predict_all([good, broken, other]))
    assert [isinstance(result, Failure) for result in results] == [False, True, False]
    assert_alike(results[2].to_json(), predictor(other).to_json())


def test_predictor_declares_what_it_takes_and_answers_draw_themselves(name, quick_run, predictor_of, inputs_of):
    predictor, (good, _, _) = predictor_of(name), inputs_of(name)
    assert ("path" if isinstance(good, Path) else "text") in predictor.limits.inputs
    assert (predictor.limits.knobs is None) == (verbs.open_run(quick_run(name)).calibrate is None)
    assert all(picture.size for picture in predictor(good).pictures().values())


def test_eight_threads_get_the_answers_of_one_from_a_shared_predictor(name, quick_run):
    # More where calls differ in their knob; benchmarks/threads.py asks a thousand of every system.
    answers = 120 if verbs.open_run(quick_run(name)).calibrate else 48
    assert threads.count_differing(threads.calls_of(quick_run(name)), answers, threads=8) == 0


def answer_by_steps(predictor, calls):
    """Answers calls (inputs, knob) whose inputs share their steps, as a server does; a list for each call."""
    answers, waiting = {}, []
    for call, (inputs, _) in enumerate(calls):
        for place, each in enumerate(predictor.start(inputs)):
            if isinstance(each, Failure):
                answers[call, place] = each
            else:
                waiting.append(replace(each, item=(call, place)))
    while waiting:
        groups = {}
        for each in waiting:
            knob = {} if each.is_decided else calls[each.item[0]][1]
            groups.setdefault((each.group, *knob.values()), (knob, []))[1].append(each)
        waiting = []
        for knob, pendings in groups.values():
            finished, survivors = predictor.advance(pendings, **knob)
            assert len(finished) + len(survivors) == len(pendings)
            answers |= dict(finished)
            waiting += survivors
    return [[answers[call, place] for place in range(len(inputs))] for call, (inputs, _) in enumerate(calls)]


def test_calls_that_share_their_steps_get_the_answers_of_their_own(name, quick_run, predictor_of, inputs_of):
    trained, broken = verbs.open_run(quick_run(name)), inputs_of(name)[1]
    predictor, inputs = predictor_of(name), threads.inputs_for(trained.run.system)
    parts = [[broken, *inputs[:2]], inputs[1:5]]
    calls = [(part, knob) for knob in threads.knobs_for(trained) for part in parts]
    for found, (part, knob) in zip(answer_by_steps(predictor, calls), calls, strict=True):
        for answer, expected in zip(found, predictor.predict_all(part, **knob), strict=True):
            assert_alike(answer.to_json(), expected.to_json())


def test_eight_threads_get_the_answers_of_one_step_by_step(name, quick_run, predictor_of):
    trained = verbs.open_run(quick_run(name))
    predictor, knobs = predictor_of(name), threads.knobs_for(trained)
    ones = itertools.product(threads.inputs_for(trained.run.system)[:4], knobs)
    calls = [lambda one=one, knob=knob: answer_by_steps(predictor, [([one], knob)])[0][0] for one, knob in ones]
    assert threads.count_differing(calls, 8 * len(calls), threads=8) == 0


def test_bytes_in_and_bytes_out_are_what_files_in_and_out_are(name, quick_run, predictor_of, inputs_of, tmp_path):
    predictor, (good, _, _) = predictor_of(name), inputs_of(name)
    answer = predictor(good)
    if "bytes" in predictor.limits.inputs:
        assert predictor(good.read_bytes()).to_json() | {"name": answer.name} == answer.to_json()
    if files := answer.encode():
        list(verbs.predict(quick_run(name), [good], out=tmp_path / "out"))
        written = [file.read_bytes() for file in (tmp_path / "out").glob("[!.]*")]
        assert sorted(written) == sorted(files.values())


def test_inputs_that_are_no_files_cost_only_themselves_on_the_command_line(name, quick_run, tmp_path, capsys):
    if get_system(name).wing == "reading":
        pytest.skip("its inputs are lines of JSON beside files, which it reads itself")
    os.mkfifo(tmp_path / "pipe")
    Image.new("RGB", (32, 32)).save(tmp_path / "good.png")
    out = [] if get_system(name).wing == "classify" else ["-o", str(tmp_path / "out")]
    inputs = [
        str(tmp_path / "pipe"),
        "/dev/zero",
        "nul\0.png",
        str(tmp_path / "missing.png"),
        str(tmp_path / "good.png"),
    ]
    assert main(["predict", str(quick_run(name)), *inputs, *out, "--json"]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == inputs
    assert ["error" in row for row in rows] == [True, True, True, True, False]


def test_comparison_with_itself_is_shown(name, quick_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    present(with_files(verbs.compare([quick_run(name)]), {}), as_json=False)
    assert quick_run(name).name in capsys.readouterr().out


def test_export_matches_pytorch(name, quick_run, tmp_path):
    pytest.importorskip("onnxruntime", reason="the export extra is not installed")
    if get_system(name).export is None:
        with pytest.raises(verbs.RunError, match="has no deployable form yet"):
            verbs.export(quick_run(name), out=tmp_path / "exported")
        return
    folder = verbs.export(quick_run(name), out=tmp_path / "exported")  # checks parity itself, and raises where it fails
    assert (folder / "manifest.json").exists()


def test_quick_benchmark_gives_rows_with_targets(name, quick_rows):
    if get_system(name).bench is None:
        with pytest.raises(RecipeError, match="has no benchmark of its own"):
            verbs.bench(name, threads=1, quick=True)
        return
    rows = quick_rows(name)
    assert any(row.target is not None for row in rows)
    assert all(row.value == row.value for row in rows)  # no NaN


def test_finished_run_is_not_trained_over(name, quick_run):
    run = quick_run(name)
    with pytest.raises(verbs.RunError, match="holds a run already: pass --resume"):
        verbs.train(name, recipe=run / "recipe.yaml", out=run)


def test_resuming_a_finished_run_changes_no_weight(name, quick_run, monkeypatch):
    run = quick_run(name)
    monkeypatch.setattr("modicum.verbs.training.write_report", lambda run: None)  # it measures anew, for up to minutes
    before = load_file(run / "model.safetensors")
    verbs.train(name, recipe=run / "recipe.yaml", out=run, resume=True)
    after = load_file(run / "model.safetensors")
    assert all(torch.equal(before[key], after[key]) for key in before)


def networks_of(value, seen):
    """The networks that an object holds, at any depth."""
    if isinstance(value, torch.nn.Module):
        yield value
    elif type(value).__module__.startswith("modicum") and id(value) not in seen:
        seen.add(id(value))
        for part in vars(value).values():
            yield from networks_of(part, seen)
    elif isinstance(value, FunctionType) and value.__closure__:
        for cell in value.__closure__:
            yield from networks_of(cell.cell_contents, seen)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_answers_on_a_cpu_much_as_single_does(name, dtype, quick_run, inputs_of):
    predictor, (good, _, _) = verbs.predictor(quick_run(name)), inputs_of(name)
    expected = numbers_of(predictor(good))
    for network in networks_of(predictor, set()):
        network.to(dtype)
    found = numbers_of(predictor(good))
    assert np.isfinite(list(found.values())).all()
    if "probability" in expected:
        assert found["probability"] == pytest.approx(expected["probability"], abs=0.25)


def numbers_of(answer):
    return {key: value for key, value in answer.to_json().items() if isinstance(value, float)}
