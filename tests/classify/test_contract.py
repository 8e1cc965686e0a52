"""What every registered classifier must do beside the contract of all systems."""

import json

import pytest

from modicum import verbs
from modicum.systems import SYSTEMS

pytestmark = pytest.mark.parametrize("name", [system.id for system in SYSTEMS.values() if system.wing == "classify"])


def test_curve_stands_beside_all_baselines_that_its_kind_of_route_allows(name, quick_run):
    curve = json.loads((quick_run(name) / "curve.json").read_text())["curve"]
    assert curve["routed"]
    assert curve["random"]
    assert curve["plain"]
    has_menu = verbs.load(quick_run(name)).costs.menu() is not None
    assert bool(curve["static"]) == has_menu
    assert bool(curve["oracle"]) == has_menu


def test_calibrated_cost_is_within_the_budget(name, quick_run):
    calibration = json.loads((quick_run(name) / "calibration.json").read_text())
    assert calibration["achieved"] <= calibration["target"]
