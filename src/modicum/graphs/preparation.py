"""From a recipe to what is fitted, judges and tests: standardised points, and the way back to raw numbers."""

# N rows, F inputs, O outputs
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modicum.graphs.activations import Array
from modicum.graphs.encoding import Encoding
from modicum.graphs.fitting import Points
from modicum.graphs.graph import Graph
from modicum.graphs.losses import CrossEntropy, SquaredError
from modicum.graphs.photographs import DEFAULT, PHOTOGRAPHS, open_brightness
from modicum.graphs.problems import BLOCK, CONTEXT, Samples, grid_size, image_function, next_pixel
from modicum.graphs.recipe import GraphsRecipe, ProblemName
from modicum.graphs.tables import learn_table, read_table, split_rows
from modicum.storage.errors import DataError

OTHER_PHOTOGRAPHS = ("coins", "moon")  # what the next pixel is tested on, too
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
        """Standardised points of a part, in random order: what a search takes."""
        samples = self.parts[part]
        inputs, targets = self.standardised(samples.inputs), self.standardised_targets(samples.targets)
        return Points.shuffled(inputs, targets, CrossEntropy() if self.is_classification else SquaredError(), rng)

    def standardised(self, inputs: Array) -> Array:
        """Raw inputs (N, F) as a search takes them."""
        standardised: Array = (inputs - self.centre) / self.scale
        return standardised

    def standardised_targets(self, targets: NDArray[np.float64] | NDArray[np.int64]) -> Array:
        """Raw targets (N,) as a search takes them: (N, 1), or probabilities of the classes, (N, O)."""
        if self.is_classification:
            return np.eye(self.num_outputs)[targets]
        return np.asarray((targets[:, None] - self.target_centre) / self.target_scale, dtype=np.float64)

    def loss_of(self, error: float) -> float:
        """The mean loss of standardised points that belongs to an error in raw units."""
        return error if self.is_classification else (error / self.target_scale) ** 2

    def error_of(self, loss: float) -> float:
        """An error in raw units, the root mean square, or for classes the cross-entropy, of a mean loss."""
        return loss if self.is_classification else self.target_scale * float(np.sqrt(loss))

    def raw(self, graph: Graph) -> Graph:
        """The graph that takes and gives raw numbers, of one for standardised ones."""
        return graph.rescaled(self.centre, self.scale, self.target_centre, self.target_scale)


def prepare(recipe: GraphsRecipe) -> Prepared:
    """The problem of a recipe.

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
    """A table: its target from its other columns; see `prepare`."""
    assert recipe.data is not None  # the recipe has seen to it
    frame = read_table(recipe.data)
    learned = learn_table(frame, recipe.target or frame.columns[-1], recipe.table)
    rows = split_rows(len(learned.samples), recipe.table, np.random.default_rng(recipe.seed))
    parts = {name: learned.samples.take(chosen) for name, chosen in rows.items()}
    if "validation" in parts and recipe.bound_on == "training":  # nothing else would need them
        parts["train"] = learned.samples.take(np.sort(np.concatenate([rows["train"], rows["validation"]])))
        del parts["validation"]
    prepared = Prepared(
        "table",
        f"{Path(recipe.data).name}: {learned.encoding.target} from {len(learned.encoding.columns)} columns",
        learned.encoding,
        parts,
        *_standard(parts["train"].inputs),
        notes=learned.notes,
    )
    if prepared.is_classification:
        return prepared
    targets = parts["train"].targets
    if not targets.std():
        raise DataError(f"{learned.encoding.target!r} is the same in all training rows: give more rows or another seed")
    return replace(prepared, target_centre=float(targets.mean()), target_scale=float(targets.std()))


def prepare_image_function(recipe: GraphsRecipe) -> Prepared:
    """A picture as brightness over x and y in [-2, 2]; see `prepare`."""
    image = open_brightness(recipe.data)
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
    """The next pixel of a picture from twelve before it; see `prepare`.

    The black squares of a chessboard are fitted, but for every third where the bound is held on validation points; the
    white ones test, and so do photographs of scikit-image, where it is installed.
    """
    rng = np.random.default_rng(recipe.seed)
    samples, squares = next_pixel(open_brightness(recipe.data))
    is_white = squares.sum(axis=1) % 2 == 1
    judges = np.zeros(len(samples), dtype=bool)
    if recipe.bound_on == "validation":
        number = squares[:, 0] * (squares[:, 1].max() + 1) + squares[:, 1]  # of each pixel's square, in raster order
        black = np.unique(number[~is_white])
        if len(black) < JUDGING_SQUARE:
            raise DataError(
                f"the picture has {len(black)} black squares of {BLOCK} px, of which every third judges the bound: "
                "give a larger one, or choose --bound_on training"
            )
        judges = np.isin(number, black[JUDGING_SQUARE - 1 :: JUDGING_SQUARE])
    parts = {
        "train": samples.take(np.flatnonzero(~is_white & ~judges)).sample(recipe.image.max_points, rng),
        **({"validation": samples.take(np.flatnonzero(judges))} if judges.any() else {}),
        "test": samples.take(np.flatnonzero(is_white)),
    }
    return Prepared(
        "next-pixel",
        f"the next pixel of {picture_name(recipe.data)} from {len(CONTEXT)} before it",
        Encoding.of_numbers(tuple(CONTEXT), "brightness"),
        {**parts, **_other_parts(recipe.data)},
        *_standard(parts["train"].inputs),
    )


def picture_name(data: str | None) -> str:
    """What a reader calls a picture."""
    name = DEFAULT if data is None else data
    return f"the photograph {name!r}" if name in PHOTOGRAPHS else Path(name).name


def _other_parts(data: str | None) -> dict[str, Samples]:
    """All pixels of other photographs, by their names."""
    if importlib.util.find_spec("skimage") is None:
        return {}
    names = [name for name in OTHER_PHOTOGRAPHS if name != data]
    return {name: next_pixel(open_brightness(name))[0] for name in names}


def _standard(inputs: Array) -> tuple[Array, Array]:
    """Means and standard deviations (F,) of inputs; what is constant in these rows is divided by 1."""
    spread = inputs.std(axis=0)
    return inputs.mean(axis=0), np.where(spread > 0, spread, 1.0)
