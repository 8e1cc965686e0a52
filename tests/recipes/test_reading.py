from dataclasses import dataclass, field

import pytest

from modicum.flags import parse_training, verb_parser
from modicum.recipes import build_recipe, check_numbers, read_recipe
from modicum.storage import RecipeError
from modicum.systems import get_system


@dataclass(frozen=True)
class Inner:
    rates: tuple[float, ...] = (0.1,)
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outer:
    target: str | None = None
    rate: float = 0.1
    seed: int = 0
    inner: Inner = field(default_factory=Inner)


def test_texts_are_taken_as_they_are_written(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text(
        "target: 2019\nrate: 1\ninner: {rates: [1, 2.0], names: [no, 2019, 007, 1e3, null, 2024-01-02, 'a']}\n"
    )
    recipe = build_recipe(Outer, read_recipe(file, Outer))
    assert recipe.target == "2019"
    assert recipe.inner.names == ("no", "2019", "007", "1e3", "null", "2024-01-02", "a")
    assert (recipe.rate, recipe.inner.rates) == (1.0, (1.0, 2.0))


@pytest.mark.parametrize(("written", "target"), [("no", "no"), ("null", None), ("'null'", "null"), ("~", None)])
def test_text_that_may_be_none_is_none_without_quotation_marks(tmp_path, written, target):
    (tmp_path / "r.yaml").write_text(f"target: {written}\n")
    assert build_recipe(Outer, read_recipe(tmp_path / "r.yaml", Outer)).target == target


def test_command_line_takes_texts_of_a_recipe_file_as_they_are_written(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("problem: table\ntarget: yes\ntable: {ignore: [no, 2019]}\n")
    chosen = parse_training(verb_parser("train", ""), ["graphs", "--recipe", str(file), "--data", "t.csv"])["recipe"]
    assert (chosen.target, chosen.table.ignore) == ("yes", ("no", "2019"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": float("nan")}, "rate must be finite, got nan"),
        ({"inner": {"rates": [0.1, float("inf")]}}, "inner.rates must be finite, got inf"),
        ({"seed": -1}, "seed must be from 0 to 4,294,967,295, got -1"),
        ({"seed": 2**32}, "seed must be from 0 to 4,294,967,295, got 4294967296"),
    ],
)
def test_numbers_that_no_option_can_be_are_refused_by_name(options, message):
    with pytest.raises(RecipeError, match=f"^{message}$"):
        build_recipe(Outer, options)


@pytest.mark.parametrize("system", ["drnet", "rnan", "saliency", "qanet", "graphs", "zoom"])
def test_seeds_are_checked_in_every_wing(system):
    recipe = build_recipe(get_system(system).recipe, {"problem": "image-function"} if system == "graphs" else {})
    object.__setattr__(recipe, "seed", -1)
    with pytest.raises(RecipeError, match="seed must be from 0"):
        check_numbers(recipe)
