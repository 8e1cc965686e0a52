"""What can be chosen about a search for the smallest graph; defaults are those for a table or picture of one's own."""

from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Literal

from modicum.storage.counting import counted
from modicum.storage.errors import RecipeError
from modicum.training.recipe import require

TABLE_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
"""File names that count as tables, in lower case."""
DEFAULT_COMPLEXITY = 30
"""Parameters that a graph may have where no bound is stated."""
ProblemName = Literal["table", "image-function", "next-pixel"]


@dataclass(frozen=True)
class TableOptions:
    """How a table is read.

    Attributes:
        ignore: Columns to leave out.
        categories: Columns of numbers that are codes of categories; texts and truth values are categories anyway.
        missing: What becomes of empty cells: "fill" takes numbers as the mean and categories as one of their own,
            "drop" leaves out the row, "refuse" stops. Rows without a target are left out in any case.
        missing_words: Texts that count as empty cells, such as unknown, in every column. A cell without a number in a
            column of numbers counts as empty anyway; other texts are texts, also NA, which is a country.
        separator: Between the cells of a CSV file, such as ";" or tab; None tells it by the file, as for the next two.
        decimal: Decimal mark of a CSV file.
        encoding: Of a CSV file, such as cp1252; None is UTF-8, or what a byte order mark says.
        validation: Share of the rows that are kept from fitting and may judge the bound, in [0, 0.5].
        test: Share of the rows that the report's figures are on, in (0, 0.5].
    """

    ignore: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    missing: Literal["fill", "drop", "refuse"] = "fill"
    missing_words: tuple[str, ...] = ()
    separator: str | None = None
    decimal: Literal[".", ","] | None = None
    encoding: str | None = None
    validation: float = 0.2
    test: float = 0.2

    def __post_init__(self) -> None:
        require(0 <= self.validation <= 0.5, "table.validation", "in [0, 0.5]", self.validation)
        require(0 < self.test <= 0.5, "table.test", "in (0, 0.5]", self.test)
        require(self.mark is None or len(self.mark) == 1, "table.separator", "a single character or tab", self.mark)
        if self.mark is not None and self.mark == self.decimal:
            raise RecipeError(f"table.separator and table.decimal must differ, got {self.mark!r} for both")

    @property
    def mark(self) -> str | None:
        """The separator as the character that it is."""
        return "\t" if self.separator in ("tab", "\\t") else self.separator

    @property
    def shares(self) -> dict[str, float]:
        """Share of the rows of each part but the training's."""
        return {"validation": self.validation, "test": self.test} if self.validation else {"test": self.test}


@dataclass(frozen=True)
class ImageOptions:
    """How a picture becomes points.

    Attributes:
        side: Of the image function: points of the grid along the longer side.
        max_points: Of the next pixel: how many pixels to fit, drawn at random from all.
    """

    side: int = 64
    max_points: int = 20000

    def __post_init__(self) -> None:
        require(self.side >= 8, "image.side", "at least 8", self.side)
        require(self.max_points >= 100, "image.max_points", "at least 100", self.max_points)


@dataclass(frozen=True)
class SearchLimits:
    """How long is searched; the first limit that is met ends it.

    Attributes:
        rounds: Of growing and pruning in each restart.
        seconds: CPU time of each restart, the final polish included; what is found then depends on the machine. None:
            the rounds alone decide.
        restarts: Searches with seeds of their own, side by side on the cores there are; the best result counts.
    """

    rounds: int = 200
    seconds: float | None = None
    restarts: int = 2

    def __post_init__(self) -> None:
        require(self.rounds >= 0, "search.rounds", "at least 0", self.rounds)
        is_time = self.seconds is None or (isfinite(self.seconds) and self.seconds > 0)
        require(is_time, "search.seconds", "finite and above 0, or none", self.seconds)
        require(self.restarts >= 1, "search.restarts", "at least 1", self.restarts)


@dataclass(frozen=True)
class GraphsRecipe:
    """A search for the least complex graph that stays within a bound, on a table or a picture.

    Attributes:
        data: A table (CSV, Parquet), an image file, or the name of a photograph of scikit-image or scikit-learn, such
            as coins; None is the photograph of the cameraman.
        problem: What is predicted: a column of a "table", brightness as a function of the place ("image-function"), or
            the brightness of the "next-pixel"; None tells tables by their names and takes pictures as functions.
        target: The column of a table to predict; None is the last.
        max_error: The bound: root mean squared error in units of the target, of pictures in units of white, or, where
            the target is a class, mean cross-entropy in nats.
        max_complexity: The other way to state the bound: the least error at this many parameters at most. With neither,
            30.
        bound_on: Points on which the bound must hold: the "training" points, or the "validation" points, which no
            weight was fitted to.
        activation: Of the neurons; "any" lets each choose its own.
        search: How long is searched.
        table: How a table is read.
        image: How a picture becomes points.
        baselines: Also look for the smallest layered network with the same optimiser in the same CPU time, and fit
            other methods of equal size.
        neat_seconds: CPU time for NEAT as a baseline, too; 0 leaves it out.
        seed: Of everything random.
    """

    data: str | None = None
    problem: ProblemName | None = None
    target: str | None = None
    max_error: float | None = None
    max_complexity: int | None = None
    bound_on: Literal["training", "validation"] = "training"
    activation: Literal["tanh", "sin", "silu", "softplus", "any"] = "tanh"
    search: SearchLimits = field(default_factory=SearchLimits)
    table: TableOptions = field(default_factory=TableOptions)
    image: ImageOptions = field(default_factory=ImageOptions)
    baselines: bool = True
    neat_seconds: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        is_bound = self.max_error is None or (isfinite(self.max_error) and self.max_error > 0)
        require(is_bound, "max_error", "finite and above 0, or none", self.max_error)
        if self.max_complexity is not None:
            require(self.max_complexity >= 1, "max_complexity", "at least 1", self.max_complexity)
            if self.max_error is not None:
                raise RecipeError(
                    "max_error and max_complexity are two ways to state the bound, got "
                    f"{self.max_error:g} and {self.max_complexity}: give one of them, and null as the other"
                )
        is_time = isfinite(self.neat_seconds) and self.neat_seconds >= 0
        require(is_time, "neat_seconds", "finite and at least 0", self.neat_seconds)
        if self.kind == "table" and self.data is None:
            raise RecipeError("problem table needs a table: give its file as data")
        if self.kind == "table" and self.bound_on == "validation" and not self.table.validation:
            raise RecipeError("bound_on validation needs rows to judge by: table.validation must be above 0, got 0")
        if self.kind == "image-function" and self.bound_on == "validation":
            raise RecipeError("bound_on validation has no points in an image-function, which fits all: use training")

    @property
    def allowed_complexity(self) -> int | None:
        """Most parameters that the graph may have; None where the error is bounded instead."""
        if self.max_error is not None:
            return None
        return DEFAULT_COMPLEXITY if self.max_complexity is None else self.max_complexity

    @property
    def kind(self) -> ProblemName:
        """The problem, told by the data where it was not said."""
        if self.problem is not None:
            return self.problem
        is_table = self.data is not None and self.data.lower().endswith(TABLE_SUFFIXES)
        return "table" if is_table else "image-function"

    def facts(self) -> dict[str, str]:
        """Returns facts about the search for readers of a report, by name."""
        bound = (
            f"error at most {self.max_error:g} on the {self.bound_on} points"
            if self.max_error is not None
            else f"at most {counted(self.allowed_complexity or 0, 'parameter')}"
        )
        limits = self.search
        late = "" if limits.seconds is None else f", at most {limits.seconds:g} s of CPU time"
        return {
            "Problem": f"{self.kind} of {Path(self.data).name if self.data else 'the embedded photograph'}",
            "Bound": bound,
            "Activation": self.activation,
            "Search": f"{counted(limits.restarts, 'restart')} of {counted(limits.rounds, 'round')}{late}",
            "Seed": str(self.seed),
        }
