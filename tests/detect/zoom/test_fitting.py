import pytest
import torch
from safetensors.torch import load_file
from written_sets import write_marks

from modicum.contract import Run
from modicum.detect.zoom.assembly import open_zoom
from modicum.detect.zoom.evaluation import calibrate_run, evaluate_run
from modicum.detect.zoom.fitting import fit, planned_epochs
from modicum.detect.zoom.network import ZoomNetwork
from modicum.detect.zoom.notes import read_fixed, read_price
from modicum.detect.zoom.recipe import ZoomRecipe
from modicum.detect.zoom.rnet import DenseRNet
from modicum.detect.zoom.system import ZoomSystem
from modicum.recipes import build_recipe, recipe_text
from modicum.storage.errors import WeightsError
from modicum.storage.header import read_header
from modicum.storage.runs import RunFolder
from modicum.storage.weights import load_network, save_network

TINY = {
    "scale": 0.5,
    "budget": 0.6,
    "max_detections": 40,
    "detectors": {"epochs": 3, "steps": 6, "batch_size": 2, "crop_px": 64},
    "rnet": {"least_steps": 20, "epochs": 1, "hidden": 8},
    "trainer": {"accelerator": "cpu", "threads": 1},
}


@pytest.fixture(scope="module")
def marks(tmp_path_factory):
    return write_marks(tmp_path_factory.mktemp("marks"), side=256, sizes=(6, 4, 4))


@pytest.fixture(scope="module")
def begin(tmp_path_factory, marks):
    """Function from further options to a new run, its options and its recipe."""

    def new(**options):
        chosen = {**TINY, "data": str(marks), **options}
        recipe = build_recipe(ZoomRecipe, chosen)
        path = tmp_path_factory.mktemp("run") / "run"
        run = RunFolder.create(path, system="zoom", recipe_text=recipe_text(recipe), command="", versions={})
        return run, chosen, recipe

    return new


@pytest.fixture(scope="module")
def trained(begin):
    run, _, recipe = begin()
    fit(recipe, run)
    return Run(run, ZoomSystem())


@pytest.fixture(scope="module")
def own_detector(trained, tmp_path_factory):
    """A file of a detector, as a user would give it."""
    file = tmp_path_factory.mktemp("own") / "mine.safetensors"
    save_network(file, trained.network().fine)
    return file


def zoom_of(run):
    network = run.network()
    return network, open_zoom(run.folder, run.recipe, network)


def test_training_killed_twice_ends_with_the_same_bits(trained, begin, kill_when, tmp_path):
    run, options, recipe = begin()
    kill_when(run, options, (run.stage("fine") / "last.ckpt").exists, tmp_path / "first.log")
    kill_when(run, options, (run.path / "detections").exists, tmp_path / "second.log")
    fit(recipe, run)
    first, second = load_file(trained.folder.weights), load_file(run.weights)
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_weights_say_by_which_recipe_and_keep_the_fixed_windows(trained):
    assert "recipe_digest" in read_header(trained.folder.weights).notes
    fixed = read_fixed(trained.folder.weights)
    assert fixed is None or fixed.whole.tolist() == [0, 0, 256, 256]


def test_price_keeps_the_budget_on_the_calibration_pictures_and_is_kept(trained):
    network, zoom = zoom_of(trained)
    calibration = calibrate_run(trained, network, zoom, budget=0.6)
    assert calibration.achieved <= 0.6 * 256 * 256
    assert read_price(trained.folder) == calibration


def test_evaluation_sets_the_run_beside_all_baselines_at_no_more_pixels(trained):
    network, zoom = zoom_of(trained)
    evaluation = evaluate_run(trained, network, zoom, clock=False)
    names = [each.name for each in evaluation.standings]
    assert names[:5] == ["zoom, R-net", "coarse alone", "fine alone", "slices and coarse", "random places"]
    assert {"entropy", "true gain"} <= set(names)
    own, random = evaluation.standings[0], evaluation.standing("random places")
    assert random.pixels == pytest.approx(own.pixels)
    assert evaluation.standing("fine alone").pixels == 1.0
    assert evaluation.standing("coarse alone").pixels == 0.25
    assert all(evaluation.standing(name).pixels <= own.pixels + 1e-9 for name in ("entropy", "true gain"))
    costs = [point.cost for point in evaluation.curve.routed]
    assert costs == sorted(costs, reverse=True)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rnet": {**TINY["rnet"], "form": "scores"}},
        {"rnet": {"form": "dense", "epochs": 2, "hidden": 8}},
        {"policy": {"form": "residual", "updates": 12}},
        {"policy": {"form": "fc", "updates": 12}},
    ],
)
def test_rnet_and_policy_of_each_form_are_fitted_to_a_users_detector(options, begin, own_detector):
    folder, _, recipe = begin(detector=str(own_detector), **options)
    assert planned_epochs(recipe) == {}
    fit(recipe, folder)
    run = Run(folder, ZoomSystem())
    network, zoom = zoom_of(run)
    assert network.coarse is network.fine is None
    assert isinstance(network.rnet, DenseRNet) == (recipe.rnet.form == "dense")
    evaluation = evaluate_run(run, network, zoom, clock=False)
    assert bool(evaluation.returns) == (recipe.policy.form != "greedy")
    own = evaluation.standings[0]
    assert own.pixels <= 1.25


def test_users_detector_that_has_changed_is_refused(begin, own_detector, trained, tmp_path):
    file = tmp_path / "mine.safetensors"
    file.write_bytes(own_detector.read_bytes())
    folder, _, recipe = begin(detector=str(file))
    network = fit(recipe, folder)
    save_network(file, trained.network().coarse)
    with pytest.raises(WeightsError, match=r"mine\.safetensors is not the detector that .* was fitted to"):
        open_zoom(folder, recipe, network)


def test_detectors_are_cross_fitted_where_folds_are_asked_for(begin):
    run, _, recipe = begin(folds=2)
    fit(recipe, run)
    assert run.finished_stages() == list(planned_epochs(recipe))
    assert len(planned_epochs(recipe)) == 6
    assert isinstance(load_network(run.weights, {"zoom": ZoomNetwork}), ZoomNetwork)
