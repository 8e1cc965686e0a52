"""The import contracts of pyproject.toml hold, and each of them notices what it is there to forbid."""

import copy
from pathlib import Path

import grimp
import pytest
from importlinter.api import read_configuration
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract

CONFIGURATION = read_configuration(str(Path(__file__).parents[1] / "pyproject.toml"))
KINDS = {"layers": LayersContract, "forbidden": ForbiddenContract}
NAMES = [options["name"] for options in CONFIGURATION["contracts_options"]]


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("modicum", include_external_packages=True, cache_dir=None)


def is_kept(graph, name, *imports):
    """Whether a contract holds where modules, old or new, import others, too."""
    graph = copy.deepcopy(graph)
    for importer, imported in imports:
        graph.add_import(importer=importer, imported=imported)
    (options,) = (each for each in CONFIGURATION["contracts_options"] if each["name"] == name)
    contract = KINDS[options["type"]](name, CONFIGURATION["session_options"], options)
    return contract.check(graph, verbose=False).kept


@pytest.mark.parametrize("name", NAMES)
def test_contract_holds(graph, name):
    assert is_kept(graph, name)


FLOORS, ORDER, NETWORK, PREDICTION, WITHOUT_TORCH, HELP = NAMES


@pytest.mark.parametrize(
    ("imports", "contract"),
    [
        ([("modicum.classify.drnet.network", "lightning")], NETWORK),
        (
            [("modicum.classify.drnet.network", "modicum.classify.helper"), ("modicum.classify.helper", "lightning")],
            NETWORK,
        ),
        ([("modicum.saliency.network", "modicum.storage.runs")], NETWORK),
        ([("modicum.detect.zoom.network", "modicum.detect.zoom.recipe")], NETWORK),
        ([("modicum.classify.ranet.network", "modicum.classify.ranet.fitting")], ORDER),
        ([("modicum.classify.ranet.training", "modicum.classify.ranet.fitting")], ORDER),
        (
            [
                ("modicum.reading.training", "modicum.reading.helper"),
                ("modicum.reading.helper", "modicum.reading.wing"),
            ],
            ORDER,
        ),
        ([("modicum.restore.predictor", "modicum.training.stages")], PREDICTION),
        ([("modicum.faces.predictor", "modicum.faces.plots"), ("modicum.faces.plots", "matplotlib")], PREDICTION),
        ([("modicum.reading.recipe", "modicum.reading.helper"), ("modicum.reading.helper", "torch")], WITHOUT_TORCH),
        ([("modicum.classify.static.runner", "modicum.classify.static.network")], WITHOUT_TORCH),
        ([("modicum.saliency.results", "modicum.classify.results")], FLOORS),
        ([("modicum.adaptive.curve", "modicum.classify.results")], FLOORS),
        ([("modicum.storage.files", "modicum.recipes")], FLOORS),
        ([("modicum.nowhere", "modicum.storage.files")], FLOORS),
        ([("modicum.systems", "torch")], HELP),
    ],
    ids=lambda value: ", ".join(" imports ".join(pair) for pair in value) if isinstance(value, list) else "",
)
def test_forbidden_import_is_noticed(graph, imports, contract):
    assert not is_kept(graph, contract, *imports)
