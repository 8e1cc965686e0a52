import numpy as np
import pytest
import torch

from modicum.detect.detectors.torchvision_shapes import DetectionLimits
from modicum.detect.zoom.assembly import assemble, layout_of, planner_of
from modicum.detect.zoom.network import ZoomNetwork
from modicum.detect.zoom.planners import DensityPlanner, SlidingWindows, SpacedWindows, ValuePlanner
from modicum.detect.zoom.score_map import ScoreMap
from modicum.storage.weights import load_network, save_network

SIZES = ((0.5, 0.5), (64.0, 32.0))


def make(**options) -> ZoomNetwork:
    torch.manual_seed(0)
    given = {"classes": ["ring", "cross"], "trunk": "small", "scale": 0.25, "window_sizes": SIZES, "num_features": 64}
    return ZoomNetwork(**{**given, **options}).eval()


FORMS = [
    {},
    {"gains": "scores", "num_features": 0, "policy": "residual", "prices": (1.0, 4.0), "used": (0, 0)},
    {"gains": "dense", "policy": "conv"},
    {"policy": "fc", "shares_weights": True},
    {"trunk": None},
]


@pytest.mark.parametrize("options", FORMS)
def test_stored_network_comes_back_with_its_weights_scores_and_rungs(options, tmp_path):
    network = make(**options)
    network.set_score_map("fine", ScoreMap(np.array([0.0, 0.3, 1.0]), np.array([0.0, 0.6, 0.9])))
    save_network(tmp_path / "zoom.safetensors", network)
    again = load_network(tmp_path / "zoom.safetensors", {"zoom": ZoomNetwork})
    state = network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in again.state_dict().items())
    assert again.storage_config() == network.storage_config()
    assert again.score_map("fine")(np.array([0.3])) == pytest.approx(0.6)
    assert (again.prices, again.used) == (network.prices, network.used)


def test_one_detector_has_both_roles_where_weights_are_shared():
    network = make(shares_weights=True)
    assert network.detector_of("fine") is network.detector_of("coarse") is not None


def test_planner_is_that_of_the_policy():
    assert planner_of(make()) == DensityPlanner(SlidingWindows(SIZES))
    learned = planner_of(make(policy="residual", prices=(1.0, 4.0), used=(0, 0)))
    assert isinstance(learned, ValuePlanner)
    assert learned.price_at(5.0) == 1.0  # the second rung read more, so that the first one's plan is taken
    assert layout_of(make(policy="fc")) == SpacedWindows()


def test_network_without_detectors_needs_the_users_own():
    with pytest.raises(ValueError, match="holds no detector: give the one that it was fitted to"):
        assemble(make(trunk=None), DetectionLimits())


@pytest.mark.parametrize("option", [{"gains": "magic"}, {"policy": "magic"}])
def test_unknown_form_is_refused(option):
    with pytest.raises(ValueError, match="'magic'"):
        make(**option)
