import numpy as np
import pytest

from modicum.graphs.activations import ACTIVATIONS

SUMS = np.linspace(-6, 6, 41)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("tanh", np.tanh),
        ("sin", np.sin),
        ("silu", lambda x: x / (1 + np.exp(-x))),
        ("softplus", lambda x: np.log(1 + np.exp(x))),
    ],
)
def test_value_is_the_plain_formula(name, plain):
    np.testing.assert_allclose(ACTIVATIONS[name].value(SUMS), plain(SUMS), rtol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slope_is_the_difference_quotient(name):
    activation, step = ACTIVATIONS[name], 1e-6
    quotient = (activation.value(SUMS + step) - activation.value(SUMS - step)) / (2 * step)
    np.testing.assert_allclose(activation.slope(SUMS, activation.value(SUMS)), quotient, atol=1e-8)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_large_sums_overflow_nowhere(name):
    sums = np.array([-1e4, 1e4])
    values = ACTIVATIONS[name].value(sums)
    assert np.isfinite(values).all()
    assert np.isfinite(ACTIVATIONS[name].slope(sums, values)).all()
