import math

import pytest

from modicum.graphs.recipe import GraphsRecipe, ImageOptions, SearchLimits, TableOptions
from modicum.storage.errors import RecipeError


@pytest.mark.parametrize(
    ("data", "problem", "kind"),
    [
        (None, None, "image-function"),
        ("photo.png", None, "image-function"),
        ("Table.CSV", None, "table"),
        ("t.parquet", None, "table"),
        ("photo.png", "next-pixel", "next-pixel"),
    ],
)
def test_problem_is_told_by_the_data(data, problem, kind):
    assert GraphsRecipe(data=data, problem=problem).kind == kind


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GraphsRecipe(max_error=0), "max_error must be finite and above 0, or none, got 0"),
        (lambda: GraphsRecipe(max_error=math.inf), "max_error must be finite and above 0, or none, got inf"),
        (lambda: GraphsRecipe(neat_seconds=math.nan), "neat_seconds must be finite and at least 0, got nan"),
        (lambda: GraphsRecipe(max_complexity=0), "max_complexity must be at least 1, got 0"),
        (lambda: GraphsRecipe(max_error=0.1, max_complexity=5), "two ways to state the bound, got 0.1 and 5: give one"),
        (lambda: GraphsRecipe(neat_seconds=-1), "neat_seconds must be finite and at least 0, got -1"),
        (lambda: GraphsRecipe(problem="table"), "problem table needs a table: give its file as data"),
        (lambda: GraphsRecipe(bound_on="validation"), "has no points in an image-function"),
        (lambda: TableOptions(test=0), r"table.test must be in \(0, 0.5\], got 0"),
        (lambda: TableOptions(validation=0.6), r"table.validation must be in \[0, 0.5\], got 0.6"),
        (lambda: ImageOptions(side=4), "image.side must be at least 8, got 4"),
        (lambda: ImageOptions(max_points=3), "image.max_points must be at least 100, got 3"),
        (lambda: SearchLimits(rounds=-1), "search.rounds must be at least 0, got -1"),
        (lambda: SearchLimits(seconds=0.0), "search.seconds must be finite and above 0, or none, got 0.0"),
        (lambda: SearchLimits(seconds=math.nan), "search.seconds must be finite and above 0, or none, got nan"),
        (lambda: SearchLimits(seconds=math.inf), "search.seconds must be finite and above 0, or none, got inf"),
        (lambda: SearchLimits(restarts=0), "search.restarts must be at least 1, got 0"),
    ],
)
def test_impossible_option_is_refused(make, message):
    with pytest.raises(RecipeError, match=message):
        make()


def test_bound_on_validation_needs_rows_for_it():
    with pytest.raises(RecipeError, match=r"table.validation must be above 0, got 0"):
        GraphsRecipe(data="t.csv", bound_on="validation", table=TableOptions(validation=0))


def test_facts_tell_the_bound():
    assert GraphsRecipe(max_error=0.06).facts()["Bound"] == "error at most 0.06 on the training points"
    assert GraphsRecipe(max_complexity=12).facts()["Bound"] == "at most 12 parameters"
    assert GraphsRecipe().facts()["Bound"] == "at most 30 parameters"
