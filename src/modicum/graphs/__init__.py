"""Regression and classification by the smallest graph of neurons that meets a bound, found by pruning and growing.

The names below are imported when they are first used, so that recipes can be read without scikit-learn.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modicum.graphs.estimators import GraphClassifier, GraphRegressor, imitate
    from modicum.graphs.evaluation import evaluate
    from modicum.graphs.graph import Graph
    from modicum.graphs.graph_files import load_graph, save_graph

_HOMES = {
    "Graph": "modicum.graphs.graph",
    "GraphClassifier": "modicum.graphs.estimators",
    "GraphRegressor": "modicum.graphs.estimators",
    "evaluate": "modicum.graphs.evaluation",
    "imitate": "modicum.graphs.estimators",
    "load_graph": "modicum.graphs.graph_files",
    "save_graph": "modicum.graphs.graph_files",
}

__all__ = ["Graph", "GraphClassifier", "GraphRegressor", "evaluate", "imitate", "load_graph", "save_graph"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  a class or a function
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'modicum.graphs' has no attribute {name!r}")
