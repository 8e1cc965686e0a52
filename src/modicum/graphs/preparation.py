"""From a recipe to what is fitted, judges and tests: standardised points, and the way back to raw numbers."""

# N rows, F inputs, O outputs
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modicum.graphs.activations import Array
from modicum.graphs.column_kinds import ROUNDING, is_constant
from modicum.graphs.encoding import Encoding
from modicum.graphs.graph import Graph
from modicum.graphs.levenberg_marquardt import Points
from modicum.graphs.losses import CrossEntropy, SquaredError
from modicum.graphs.photographs import DEFAULT, PHOTOGRAPHS, open_picture
from modicum.graphs.problems import BLOCK, CONTEXT, Samples, Squares, grid_size, image_function, next_pixel
from modicum.graphs.recipe import GraphsRecipe, ProblemName
from modicum.graphs.table import read_table
from modicum.graphs.tables import learn_table, split_rows
from modicum.storage.counting import counted
from modicum.storage.errors import DataError

OTHER_PHOTOGRAPHS = ("coins", "moon")  # what the next pixel is tested on, too
SAMPLED_PX, SAMPLED_PER_POINT = 2048, 8  # longer side from twice which on a picture is reduced before it is sampled
MAX_TEST_POINTS = 1_000_000  # pixels of a part that none is fitted to; a larger picture gives as many, evenly spread
JUDGING_SQUARE = 3  # every third black square judges, where the bound is held on points that are not fitted


@dataclass(frozen=True, eq=False)
class Prepared:
    """A problem that is ready to be searched.

    Attributes:
        kind: Which problem it is.
        source: One line on the data.
        encoding: What the inputs and outputs mean.
        parts: Raw samples by name: ``train``, ``test``, and where there are some ``validation`` and others to test on.
        centre: What is subtracted from each raw input, (F,).
        scale: What it is then divided by, (F,), above 0.
        target_centre: The same for the target; 0 for classes.
        target_scale: The same; 1 for classes.
        notes: What was left out or filled, one line each.
        size: Rows and columns of the points of an image function in raster order; None for other problems.
    """

    kind: ProblemName
    source: str
    encoding: Encoding
    parts: Mapping[str, Samples]
    centre: Array
    scale: Array
    target_centre: float = 0.0
    target_scale: float = 1.0
    notes: tuple[str, ...] = ()
    size: tuple[int, int] | None = None

    @property
    def is_classification(self) -> bool:
        """Whether the target is a class."""
        return bool(self.encoding.classes)

    @property
    def num_outputs(self) -> int:
        """O."""
        return len(self.encoding.outputs)

    def points(self, part: str, rng: np.random.Generator) -> Points:
        """Returns standardised points of a part, in random order, as a search takes them."""
        samples = self.parts[part]
        inputs, targets = self.standardised(samples.inputs), self.standardised_targets(samples.targets)
        return Points.shuffled(inputs, targets, CrossEntropy() if self.is_classification else SquaredError(), rng)

    def standardised(self, inputs: Array) -> Array:
        """Standardises raw inputs (N, F) for a search."""
        standardised: Array = (inputs - self.centre) / self.scale
        return standardised

    def standardised_targets(self, targets: NDArray[np.float64] | NDArray[np.int64]) -> Array:
        """Returns raw targets (N,) as a search takes them: standardised, (N, 1), or one-hot classes, (N, O)."""
        if self.is_classification:
            return np.eye(self.num_outputs)[targets]
        return np.asarray((targets[:, None] - self.target_centre) / self.target_scale, dtype=np.float64)

    def loss_of(self, error: float) -> float:
        """Converts an error in raw units to the mean loss of standardised points."""
        return error if self.is_classification else (error / self.target_scale) ** 2

    def error_of(self, loss: float) -> float:
        """Converts a mean loss to an error: root mean square in raw units, or cross-entropy for classes."""
        return loss if self.is_classification else self.target_scale * float(np.sqrt(loss))

    def raw(self, graph: Graph) -> Graph:
        """Converts a graph on standardised numbers to one on raw numbers."""
        return graph.rescaled(self.centre, self.scale, self.target_centre, self.target_scale)


def prepare(recipe: GraphsRecipe) -> Prepared:
    """Prepares the problem of a recipe.

    Raises:
        RecipeError: If the recipe does not say what it needs to.
        DataError: If the data cannot be used.
        MissingExtraError: If a library that reads them is not installed.
    """
    if recipe.kind == "table":
        return prepare_table(recipe)
    if recipe.kind == "next-pixel":
        return prepare_next_pixel(recipe)
    return prepare_image_function(recipe)


def prepare_table(recipe: GraphsRecipe) -> Prepared:
    """Prepares a table: predicts its target from its other columns; see `prepare`."""
    assert recipe.data is not None  # the recipe has seen to it
    table = read_table(recipe.data, recipe.table)
    learned = learn_table(table, recipe.target or table.names[-1], recipe.table)
    rows = split_rows(len(learned.samples), recipe.table, np.random.default_rng(recipe.seed))
    if "validation" in rows and recipe.bound_on == "training":  # nothing else would need them
        rows["train"] = np.sort(np.concatenate([rows["train"], rows.pop("validation")]))
    learned = learned.without_constants(rows["train"])
    parts = {name: learned.samples.take(chosen) for name, chosen in rows.items()}
    prepared = Prepared(
        "table",
        f"{Path(recipe.data).name}: {learned.encoding.target} from {counted(len(learned.encoding.columns), 'column')}",
        learned.encoding,
        parts,
        *_standard(parts["train"].inputs),
        notes=learned.notes,
    )
    if prepared.is_classification:
        return prepared
    targets = parts["train"].targets
    if is_constant(targets):
        raise DataError(f"{learned.encoding.target!r} is the same in all training rows: give more rows or another seed")
    return replace(prepared, target_centre=float(targets.mean()), target_scale=float(targets.std()))


def prepare_image_function(recipe: GraphsRecipe) -> Prepared:
    """Prepares a picture as brightness over x and y in [-2, 2]; see `prepare`."""
    picture = open_picture(recipe.data)
    image = picture.reduced(max(SAMPLED_PX, SAMPLED_PER_POINT * recipe.image.side))
    fitted, between = image_function(image, recipe.image.side)
    size = grid_size((image.shape[0], image.shape[1]), recipe.image.side)
    return Prepared(
        "image-function",
        f"{picture_name(recipe.data)} as brightness over x and y, {size[1]}x{size[0]} points",
        Encoding.of_numbers(("x", "y"), "brightness"),
        {"train": fitted, "test": between},
        np.zeros(2),
        np.ones(2),
        size=size,
    )


def prepare_next_pixel(recipe: GraphsRecipe) -> Prepared:
    """Prepares the next pixel of a picture as a function of the twelve before it; see `prepare`.

    The black squares of a chessboard are fitted, but for every third where the bound is held on validation points; the
    white ones test, and so do the photographs of scikit-image if it is installed.
    """
    rng = np.random.default_rng(recipe.seed)
    picture = open_picture(recipe.data)
    squares = Squares(*picture.size)
    judges = np.zeros(squares.is_white.shape, dtype=bool)
    if recipe.bound_on == "validation":
        judges = _judging_squares(squares)
    train, test = squares.places(~squares.is_white & ~judges), squares.places(squares.is_white)
    parts = {"train": next_pixel(picture, train, train.draw(recipe.image.max_points, rng))}
    if judges.any():
        judging = squares.places(judges)
        parts["validation"] = next_pixel(picture, judging, judging.spread(MAX_TEST_POINTS))
    parts["test"] = next_pixel(picture, test, test.spread(MAX_TEST_POINTS))
    return Prepared(
        "next-pixel",
        f"the next pixel of {picture_name(recipe.data)} from {len(CONTEXT)} before it",
        Encoding.of_numbers(tuple(CONTEXT), "brightness"),
        {**parts, **_other_parts(recipe.data)},
        *_standard(parts["train"].inputs),
    )


def _judging_squares(squares: Squares) -> NDArray[np.bool_]:
    """Selects every third black square, in raster order, that has pixels with a whole context."""
    black = np.argwhere(~squares.is_white & squares.has_pixels)
    if len(black) < JUDGING_SQUARE:
        raise DataError(
            f"the picture has {counted(len(black), 'black square')} of {BLOCK} px, of which every third judges the "
            "bound: give a larger one, or choose --bound_on training"
        )
    judges = np.zeros(squares.is_white.shape, dtype=bool)
    judges[tuple(black[JUDGING_SQUARE - 1 :: JUDGING_SQUARE].T)] = True
    return judges


def picture_name(data: str | None) -> str:
    """Returns the name of a picture for readers."""
    name = DEFAULT if data is None else data
    return f"the photograph {name!r}" if name in PHOTOGRAPHS else Path(name).name


def _other_parts(data: str | None) -> dict[str, Samples]:
    """Returns all pixels of the other photographs, by name."""
    if importlib.util.find_spec("skimage") is None:
        return {}
    names = [name for name in OTHER_PHOTOGRAPHS if name != data]
    return {name: _all_pixels(name) for name in names}


def _all_pixels(name: str) -> Samples:
    """Returns all pixels of a photograph that have a whole context."""
    picture = open_picture(name)
    squares = Squares(*picture.size)
    everywhere = squares.places(np.ones_like(squares.is_white))
    return next_pixel(picture, everywhere, np.arange(len(everywhere)))


def _standard(inputs: Array) -> tuple[Array, Array]:
    """Returns means and standard deviations (F,) of inputs; constants, but for rounding, are divided by 1."""
    spread, largest = inputs.std(axis=0), np.abs(inputs).max(axis=0, initial=0.0)
    return inputs.mean(axis=0), np.where(spread > ROUNDING * largest, spread, 1.0)
