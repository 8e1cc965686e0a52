import math
from dataclasses import astuple, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modicum.adaptive.calibration import Calibration
from modicum.adaptive.curve import Curve, Point
from modicum.adaptive.efficiency import Efficiency
from modicum.adaptive.guarantee import Guarantee
from modicum.classify.results import Detail, Evaluation, LossOnTest, evaluation_from_json, read_evaluation
from modicum.classify.standings import Standing, Standings
from modicum.storage.errors import DataError
from modicum.storage.files import read_json_object, write_json
from modicum.storage.sealing import write_sealed
from modicum.storage.values import from_plain, to_plain

UNHURRIED = settings(deadline=None, max_examples=50)  # the first example waits for imports and disks

FLOATS = st.floats()
KNOBS = st.floats(allow_nan=False, allow_infinity=False)  # a calibration refuses others
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)  # lone surrogates do not survive any encoding
COUNTS = st.integers(0, 10**9)
UNITS = st.sampled_from(["MAC", "ms"])
SHARES = st.none() | st.dictionaries(TEXT, FLOATS, max_size=3)
ALSO = st.none() | FLOATS.map(lambda share: {"top5": share})
POINTS = st.builds(Point, TEXT, FLOATS, FLOATS, FLOATS, FLOATS, st.none() | FLOATS, SHARES, ALSO)
MANY_POINTS = st.lists(POINTS, max_size=3).map(tuple)
ROUTES = st.none() | st.dictionaries(TEXT, COUNTS, max_size=3)
GUARANTEES = st.builds(
    Guarantee, FLOATS, FLOATS, TEXT, TEXT, COUNTS, COUNTS, FLOATS, TEXT, source=st.none() | TEXT, num_choices=COUNTS
)
MAYBE = st.none() | FLOATS
CALIBRATIONS = st.builds(
    Calibration, MAYBE, UNITS, KNOBS, FLOATS, FLOATS, MAYBE, COUNTS, TEXT, ROUTES, st.none() | GUARANTEES
)
CURVES = st.builds(
    Curve, UNITS, COUNTS, MANY_POINTS, MANY_POINTS, MANY_POINTS, st.none() | POINTS, MANY_POINTS, MANY_POINTS
)
EFFICIENCIES = st.builds(
    Efficiency, COUNTS, COUNTS, TEXT, FLOATS, FLOATS, FLOATS, FLOATS, MAYBE, MAYBE, st.none() | COUNTS
)
KINDS = st.sampled_from(["static", "mix", "cascade"])
STANDING = st.builds(Standing, KINDS, TEXT, FLOATS, FLOATS, FLOATS, FLOATS, FLOATS)
WORDS = st.lists(TEXT, max_size=3).map(tuple)
STANDINGS = st.builds(Standings, UNITS, FLOATS, st.lists(STANDING, max_size=3).map(tuple), WORDS, WORDS)
DETAILS = st.builds(Detail, TEXT, TEXT, WORDS, st.lists(WORDS, max_size=2).map(tuple))
EVALUATIONS = st.builds(
    Evaluation,
    system=TEXT,
    data=TEXT,
    num_images=st.dictionaries(TEXT, COUNTS, max_size=3),
    classes=st.lists(TEXT, max_size=3).map(tuple),
    resolution_px=COUNTS,
    curve=CURVES,
    calibration=CALIBRATIONS,
    calibrated=POINTS,
    efficiency=st.lists(EFFICIENCIES, max_size=2).map(tuple),
    loss_on_test=st.none() | st.builds(LossOnTest, COUNTS, COUNTS),
    standings=st.lists(STANDINGS, max_size=2).map(tuple),
    details=st.lists(DETAILS, max_size=2).map(tuple),
)


def comparable(value):
    """NaN equals NaN here, unlike everywhere else."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    return [comparable(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("serial")


@UNHURRIED
@given(curve=CURVES)
def test_curve_survives_a_file(scratch, curve):
    write_json(scratch / "curve.json", to_plain(curve))
    again = from_plain(Curve, read_json_object(scratch / "curve.json"))
    assert comparable(astuple(again)) == comparable(astuple(curve))


@UNHURRIED
@given(evaluation=EVALUATIONS)
def test_evaluation_survives_a_file(scratch, evaluation):
    write_sealed(scratch / "evaluation.json", evaluation.to_json())
    again = read_evaluation(scratch / "evaluation.json")
    assert comparable(astuple(again)) == comparable(astuple(evaluation))


def test_examples_are_left_out(evaluation):
    again = evaluation_from_json(evaluation.to_json())
    assert again == replace(evaluation, cheapest=(), most_expensive=())


def test_examples_of_details_are_left_out(evaluation, detail):
    again = evaluation_from_json(replace(evaluation, details=(detail,)).to_json())
    assert again.details == (replace(detail, examples=()),)


def test_file_from_before_there_were_details_is_read(evaluation):
    raw = evaluation.to_json()
    del raw["details"]
    assert evaluation_from_json(raw).details == ()


def test_missing_part_is_named(evaluation):
    raw = evaluation.to_json()
    del raw["calibrated"]["cost"]
    with pytest.raises(DataError, match="not an evaluation that modicum wrote: 'cost' is missing"):
        evaluation_from_json(raw)


def test_newer_format_asks_for_an_update(evaluation):
    raw = evaluation.to_json() | {"format": 99}
    with pytest.raises(DataError, match="format 99, newer than 1: update modicum"):
        evaluation_from_json(raw)


@pytest.mark.parametrize("damage", [{"unit": "FLOP"}, {"routed": 3}, {"num_samples": "many"}, {"oracle": []}])
def test_damaged_curve_is_refused(curve, damage):
    with pytest.raises(ValueError, match=r"got|invalid literal"):
        from_plain(Curve, to_plain(curve) | damage)


def test_a_file_at_fault_is_named(tmp_path):
    write_sealed(tmp_path / "curve.json", {"format": 1})
    with pytest.raises(DataError, match=r"curve\.json: this is not an evaluation"):
        read_evaluation(tmp_path / "curve.json")
