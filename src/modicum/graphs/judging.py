"""What a searched graph and everything it is held against reach on the data of a run."""

# H W size of a picture in px
import numpy as np

from modicum.graphs.activations import Array
from modicum.graphs.baselines import measure_graph
from modicum.graphs.evaluation import evaluate
from modicum.graphs.formula import make_formula
from modicum.graphs.photographs import Picture, open_picture
from modicum.graphs.predictor import to_pixels
from modicum.graphs.preparation import Prepared, prepare
from modicum.graphs.problems import whole_context
from modicum.graphs.recipe import GraphsRecipe
from modicum.graphs.results import Evaluation, Method, Pictures
from modicum.graphs.torch_module import GraphNetwork, rebuild_graph
from modicum.graphs.training import BASELINES, REMEDY, check_same_data, layered_path, read_baselines, read_front
from modicum.storage.errors import RunError
from modicum.storage.runs import RunFolder
from modicum.storage.weights import load_left

SHOWN_PX = 1024  # sides of the part of a large picture that a report shows


def evaluate_run(run: RunFolder, network: GraphNetwork, recipe: GraphsRecipe, *, system: str = "graphs") -> Evaluation:
    """Collects everything that a report shows: the graph, measured anew, beside the baselines of the run.

    Args:
        run: A run whose search has ended, or was interrupted with a graph.
        network: Its graph.
        recipe: Its recipe.
        system: Id of the system.

    Raises:
        RunError: If the search has left no graph yet.
        DataError: If the data have changed since the run.
        MissingExtraError: If a library that reads them is not installed.
    """
    if not run.weights.exists():
        raise RunError(f"{run.path} has no {run.weights.name} yet: finish its search with --resume")
    prepared = prepare(recipe)
    check_same_data(run, prepared)
    graph, encoding = network.graph, network.encoding
    front, steps = read_front(run)
    baselines, missing = read_baselines(run)
    return Evaluation(
        system=system,
        problem=prepared.kind,
        data=prepared.source,
        num_points={part: len(samples) for part, samples in prepared.parts.items()},
        bound=recipe.facts()["Bound"],
        max_error=recipe.max_error,
        judged_on="train" if recipe.bound_on == "training" else "validation",
        graph=graph,
        encoding=encoding,
        input_scale=network.spread.numpy(),
        methods=_methods(network, prepared, baselines),
        front=front,
        steps=steps,
        formula=tuple(make_formula(graph, encoding.symbols, encoding.outputs).lines()),
        notes=prepared.notes,
        pictures=_pictures(run, network, recipe, prepared),
        missing=missing,
    )


def _methods(network: GraphNetwork, prepared: Prepared, baselines: tuple[Method, ...]) -> tuple[Method, ...]:
    seconds = baselines[0].seconds if baselines else None
    return measure_graph("graph", network.graph, prepared, seconds=seconds), *baselines[1:]


def _pictures(run: RunFolder, network: GraphNetwork, recipe: GraphsRecipe, prepared: Prepared) -> Pictures | None:
    if prepared.kind == "table":
        return None
    if prepared.kind == "image-function":
        assert prepared.size is not None
        train = prepared.parts["train"]
        inputs, target, size = train.inputs, train.targets, prepared.size
    else:
        image = _centre(open_picture(recipe.data))
        inputs, target, size = whole_context(image), image.ravel(), (image.shape[0], image.shape[1])
    networks = [network, load_layered(run) if recipe.baselines else None]
    drawn = [None if n is None else to_pixels(evaluate(n.graph, inputs).reshape(size)) for n in networks]
    predicted, layered = drawn
    assert predicted is not None
    return Pictures(to_pixels(np.asarray(target, dtype=np.float64).reshape(size)), predicted, layered)


def _centre(picture: Picture) -> Array:
    """Returns the brightness of a picture, or of the middle of a large one, at a size that a report can show."""
    (top, bottom), (left, right) = (_middle(length) for length in picture.size)
    return picture.brightness(slice(top, bottom))[:, left:right]


def _middle(length: int) -> tuple[int, int]:
    first = max(0, (length - SHOWN_PX) // 2)
    return first, min(length, first + SHOWN_PX)


def load_layered(run: RunFolder) -> GraphNetwork | None:
    """Loads the layered network of a run; None if there was no search for one; see `load_left`."""
    return load_left(run, BASELINES, layered_path(run), {GraphNetwork.storage_name: rebuild_graph}, remedy=REMEDY)
