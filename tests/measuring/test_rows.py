import pytest

from modicum.measuring.rows import Row


@pytest.mark.parametrize(
    ("value", "sense", "holds"),
    [
        (0.9, "at least", True),
        (0.8, "at least", True),
        (0.7, "at least", False),
        (0.9, "at most", False),
        (0.8, "at most", True),
        (0.7, "at most", True),
        (float("nan"), "at least", False),
        (float("nan"), "at most", False),
    ],
)
def test_target_is_met(value, sense, holds):
    assert Row("speed", value, "ratio", 0.8, sense).holds is holds


def test_figure_without_target_holds_nothing():
    assert Row("speed", 0.9, "ratio").holds is None


def test_json_tells_everything():
    assert Row("speed", 0.9, "ratio", 0.8).to_json() == {
        "name": "speed",
        "value": 0.9,
        "unit": "ratio",
        "target": 0.8,
        "sense": "at least",
        "holds": True,
    }
