import numpy as np
import pytest
from scipy.special import log_softmax

from modicum.graphs.losses import CrossEntropy, SquaredError, softmax

RNG = np.random.default_rng(0)
OUTPUTS = RNG.standard_normal((3, 5))
CLASSES = np.eye(3)[[0, 2, 1, 1, 0]].T
NUMBERS = RNG.standard_normal((3, 5))
CASES = [(SquaredError(), NUMBERS), (CrossEntropy(), CLASSES)]


def test_squared_error_is_averaged_over_outputs():
    assert SquaredError().total(OUTPUTS, NUMBERS) == pytest.approx(((OUTPUTS - NUMBERS) ** 2).mean(axis=0).sum())


def test_cross_entropy_is_that_of_softmax():
    assert CrossEntropy().total(OUTPUTS, CLASSES) == pytest.approx(-(CLASSES * log_softmax(OUTPUTS, axis=0)).sum())


def test_large_scores_overflow_nowhere():
    scores = np.array([[1e4], [-1e4]])
    assert softmax(scores).tolist() == [[1.0], [0.0]]
    assert CrossEntropy().total(scores, np.array([[0.0], [1.0]])) == pytest.approx(2e4)


@pytest.mark.parametrize(("loss", "targets"), CASES)
def test_slope_is_that_of_half_the_loss(loss, targets):
    step, slope = 1e-6, np.empty_like(OUTPUTS)
    for place in np.ndindex(OUTPUTS.shape):
        moved = np.zeros_like(OUTPUTS)
        moved[place] = step
        rise = loss.total(OUTPUTS + moved, targets) - loss.total(OUTPUTS - moved, targets)
        slope[place] = rise / (4 * step)
    np.testing.assert_allclose(loss.slope(OUTPUTS, targets), slope, atol=1e-8)


@pytest.mark.parametrize(("loss", "targets"), CASES)
def test_outer_products_of_roots_add_up_to_the_slope_of_the_slope(loss, targets):
    step = 1e-6
    roots = [np.broadcast_to(root, OUTPUTS.shape) for root in loss.curvature_roots(OUTPUTS)]
    second = sum(np.einsum("an,bn->nab", root, root) for root in roots)
    for column, unit in enumerate(np.eye(3)[:, :, None] * step):
        rise = loss.slope(OUTPUTS + unit, targets) - loss.slope(OUTPUTS - unit, targets)
        np.testing.assert_allclose(second[:, :, column].T, rise / (2 * step), atol=1e-8)
