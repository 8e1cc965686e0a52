import numpy as np
import pytest

from modicum.exporting import ExportError, check_parity


def test_worst_difference_of_all_outputs_is_returned():
    expected = {"a": np.zeros(3), "b": np.zeros(2)}
    found = {"a": np.array([0, 1e-6, 0]), "b": np.array([3e-5, 0])}
    assert check_parity(expected, found) == pytest.approx(3e-5)


def test_a_difference_above_the_tolerance_names_the_output():
    with pytest.raises(ExportError, match=r"output 'logits' .* differs by 0\.5"):
        check_parity({"scores": np.zeros(2), "logits": np.zeros(2)}, {"scores": np.zeros(2), "logits": np.full(2, 0.5)})


def test_large_outputs_are_compared_relative_to_their_largest():
    assert check_parity({"a": np.array([1000.0, 1.0])}, {"a": np.array([1000.05, 1.05])}) == pytest.approx(5e-5)


def test_a_missing_output_is_named():
    with pytest.raises(ExportError, match=r"lacks the output\(s\) scores"):
        check_parity({"scores": np.zeros(2)}, {})


def test_another_shape_is_refused():
    with pytest.raises(ExportError, match=r"'a' must have the shape \(2,\), got \(2, 1\)"):
        check_parity({"a": np.zeros(2)}, {"a": np.zeros((2, 1))})


@pytest.mark.parametrize(("expected", "found"), [(0.0, np.nan), (np.nan, 0.0), (np.inf, 0.0), (np.inf, -np.inf)])
def test_what_is_not_finite_differs_from_all_else(expected, found):
    with pytest.raises(ExportError, match="differs by inf"):
        check_parity({"a": np.array([expected])}, {"a": np.array([found])})


def test_what_is_not_finite_equals_itself():
    values = {"a": np.array([np.nan, np.inf, -np.inf])}
    assert check_parity(values, values) == 0


def test_empty_outputs_agree():
    assert check_parity({"a": np.empty((0, 3))}, {"a": np.empty((0, 3))}) == 0
