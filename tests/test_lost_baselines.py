"""Weights of a baseline that a training left and somebody removed: named, never left out of the report in silence."""

import pytest

from modicum.graphs import judging
from modicum.graphs.training import BASELINES
from modicum.reading import evaluation as reading
from modicum.reading.qanet import fitting as qanet
from modicum.restore import evaluation as restore
from modicum.restore.rnan import fitting as rnan
from modicum.saliency import evaluation as saliency
from modicum.saliency import fitting as saliency_fitting
from modicum.storage import RunError, RunFolder

LOADERS = {
    "unet": (saliency_fitting.BASELINE, lambda run: saliency.load_baseline(run, "cpu")),
    "dncnn": (rnan.BASELINE, lambda run: restore.load_baseline(run, "cpu")),
    "lstm": (qanet.BASELINE, reading.load_baseline),
    "layered": (BASELINES, judging.load_layered),
}


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path / "run", system="any", recipe_text="", command="", versions={})


@pytest.mark.parametrize("name", LOADERS)
def test_baseline_that_was_trained_and_is_gone_is_named(run, name):
    stage, load = LOADERS[name]
    run.mark_finished(stage)
    with pytest.raises(RunError, match=rf"has lost its {name}\.safetensors, .* put "):
        load(run)


@pytest.mark.parametrize("name", LOADERS)
def test_run_without_such_a_baseline_is_judged_without_it(run, name):
    run.mark_finished("another stage")
    assert LOADERS[name][1](run) is None
