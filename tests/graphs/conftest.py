from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modicum.graphs.activations import ACTIVATIONS
from modicum.graphs.graph import Graph
from modicum.graphs.recipe import GraphsRecipe
from modicum.graphs.training import fit
from modicum.recipes import build_recipe, recipe_text
from modicum.storage.runs import RunFolder


@pytest.fixture(scope="session")
def random_graph() -> Callable[..., Graph]:
    """Function from a seed (and sizes) to a random graph in canonical form, of every activation, some without bias."""

    def make(seed: int, *, num_inputs: int = 4, num_hidden: int = 6, num_outputs: int = 1) -> Graph:
        rng = np.random.default_rng(seed)
        first_output, num_nodes = num_inputs + num_hidden, num_inputs + num_hidden + num_outputs
        pairs = [
            (source, target)
            for target in range(num_inputs, num_nodes)
            for source in range(min(target, first_output))
            if rng.random() < 0.35 or source == min(target, first_output) - 1
        ]
        sources, targets = np.array(pairs).T
        activations = tuple(list(ACTIVATIONS)[number % len(ACTIVATIONS)] for number in range(num_hidden))
        weights, biases = rng.standard_normal(len(pairs)), rng.standard_normal(num_hidden + num_outputs)
        graph = Graph(num_inputs, num_outputs, activations, sources, targets, weights, biases)
        return graph.without(len(pairs) + np.flatnonzero(rng.random(num_hidden) < 0.5)).canonical()

    return make


@pytest.fixture(scope="session")
def untidy_graph() -> Callable[..., Graph]:
    """Function from a seed to a graph of 3 inputs and 2 outputs, untidy: dead ends, constants, missing biases."""

    def make(seed: int, *, density: float = 0.4) -> Graph:
        rng = np.random.default_rng(seed)
        pairs = [(s, t) for t in range(3, 12) for s in range(min(t, 10)) if rng.random() < density]
        sources, targets = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        activations = tuple(rng.choice(list(ACTIVATIONS), 7).tolist())
        weights, biases = rng.standard_normal(len(pairs)), rng.standard_normal(9)
        graph = Graph(3, 2, activations, sources, targets, weights, biases)
        return graph.without(len(pairs) + np.flatnonzero(rng.random(9) < 0.3))

    return make


@pytest.fixture(scope="session")
def three_inputs() -> np.ndarray:
    """Twenty points of three inputs, read-only."""
    points = np.random.default_rng(0).standard_normal((20, 3))
    points.flags.writeable = False
    return points


@pytest.fixture(scope="session")
def mixed_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV file whose y follows from a number, a number with an empty cell, and a colour; its last column is text."""
    rng = np.random.default_rng(0)
    size, weight = rng.uniform(0, 4, 120), rng.normal(1000, 20, 120)
    colour = rng.choice(["blue", "green", "red"], 120)
    y = 50 + 10 * np.tanh(size - 2) + 0.1 * (weight - 1000) + 4 * (colour == "red")
    cells = [f"{w:.6f}" for w in weight]
    cells[3] = ""
    kinds = np.where(size > 2, "big", "small")
    columns = ([f"{value:.6f}" for value in size], cells, colour, [f"{value:.6f}" for value in y], kinds)
    rows = [",".join(row) for row in zip(*columns, strict=True)]
    path = tmp_path_factory.mktemp("tables") / "mixed.csv"
    path.write_text("size (mm),weight,colour,y,kind\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="session")
def searched_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RunFolder]:
    """Function from options of a recipe to a run folder with a graph, searched for a few rounds, and its baselines."""

    def search(**options: object) -> RunFolder:
        recipe = build_recipe(GraphsRecipe, {"search": {"rounds": 2, "restarts": 1}, **options})
        folder = tmp_path_factory.mktemp("runs") / "run"
        run = RunFolder.create(
            folder, system="graphs", recipe_text=recipe_text(recipe), command="modicum train graphs", versions={}
        )
        fit(recipe, run)
        return run

    return search


@pytest.fixture(scope="session")
def table_run(searched_run: Callable[..., RunFolder], mixed_table: Path) -> RunFolder:
    """A run that predicts y of the mixed table."""
    pytest.importorskip("pandas", reason="the graphs extra is not installed")
    return searched_run(data=str(mixed_table), target="y", max_error=1.0, table={"ignore": ["kind"]})


@pytest.fixture(scope="session")
def class_run(searched_run: Callable[..., RunFolder], mixed_table: Path) -> RunFolder:
    """A run that predicts the kind, a class, of the mixed table."""
    pytest.importorskip("pandas", reason="the graphs extra is not installed")
    return searched_run(data=str(mixed_table), max_error=0.3)


@pytest.fixture(scope="session")
def picture_runs(
    searched_run: Callable[..., RunFolder], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, RunFolder]:
    """Runs of both problems on a smooth picture of 130x70 pixels."""
    x, y = np.meshgrid(np.linspace(-2, 2, 130), np.linspace(-1, 1, 70))
    noise = np.random.default_rng(0).normal(0, 4, x.shape)
    path = tmp_path_factory.mktemp("pictures") / "smooth.png"
    Image.fromarray((128 + 100 * np.tanh(x + y) + noise).clip(0, 255).astype(np.uint8)).save(path)
    own = {"data": str(path), "image": {"side": 20, "max_points": 500}}
    return {
        "image-function": searched_run(problem="image-function", max_error=0.05, **own),
        "next-pixel": searched_run(problem="next-pixel", max_error=0.03, **own),
    }
