"""A small share of the cases of `benchmarks/corruptions.py`: every damage is named, or changes no answer."""

import contextlib
import importlib.util
import sys
import time
from pathlib import Path

import pytest

from modicum.storage import DataError
from modicum.storage.sealing import read_sealed, write_sealed
from modicum.systems import get_system

PATH = Path(__file__).parents[1] / "benchmarks" / "corruptions.py"


@pytest.fixture(scope="module")
def corruptions():
    spec = importlib.util.spec_from_file_location("corruptions", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["corruptions"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["corruptions"]


@pytest.mark.parametrize(("system", "cases"), [("graphs", 100)])
def test_no_damage_to_a_run_goes_unnoticed(corruptions, quick_run, tmp_path, system, cases):
    tally = corruptions.Tally()
    corruptions.corrupt(quick_run(system), corruptions.inputs_of(get_system(system).wing, tmp_path), cases, 0, tally)
    assert tally.faults == []
    named = sum(found["named"] for found in tally.counts.values())
    assert named > 0.8 * sum(sum(found.values()) for found in tally.counts.values())


@pytest.fixture
def subject(corruptions, tmp_path):
    write_sealed(tmp_path / "a.json", {"knob": 0.5})

    def make(exercise):
        return corruptions.Subject(tmp_path / "a.json", "a.json", exercise)

    return make


@pytest.mark.parametrize(
    ("exercise", "outcome"),
    [
        (lambda: 1, "unchanged"),
        (lambda: 2, "changed"),
        (lambda: read_sealed("missing.json", remedy="none"), "named"),
        (lambda: {}["key"], "foreign"),
        (lambda: bytearray(2 << 30), "memory"),
    ],
)
def test_outcomes_are_told_apart(corruptions, subject, exercise, outcome):
    assert corruptions.judge(subject(exercise), 1)[0] == outcome


def hang_carelessly():
    """Catches what a careless handler catches."""
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.01)


def test_a_call_that_hangs_is_ended(corruptions):
    with pytest.raises(corruptions.Hang), corruptions.bounded(seconds=0.05):
        hang_carelessly()


def test_a_damaged_file_is_put_back(corruptions, subject, tmp_path):
    before = (tmp_path / "a.json").read_bytes()
    tally = corruptions.Tally()
    found = subject(lambda: read_sealed(tmp_path / "a.json", remedy="none"))
    corruptions.damage(found, 24, corruptions.Random(0), tally)
    assert (tmp_path / "a.json").read_bytes() == before
    assert tally.faults == []
    with pytest.raises(DataError):
        read_sealed(tmp_path / "b.json", remedy="none")
