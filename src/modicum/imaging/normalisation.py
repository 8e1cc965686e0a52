"""Bounds on the numbers by which pictures are normalised."""

import math
from collections.abc import Sequence

LEAST_STD, LARGEST_STD = 1e-3, 10.0  # of values in [0, 1]: beyond it, a picture becomes noise or grey


def check_normalisation(mean: Sequence[float], std: Sequence[float]) -> None:
    """Raises ValueError for means and deviations that no pictures have.

    Args:
        mean: Per channel, of values in [0, 1].
        std: The same.

    Raises:
        ValueError: Unless both are three finite numbers, the means in [0, 1], the deviations in [0.001, 10].
    """
    numbers = (*mean, *std)
    if len(mean) != 3 or len(std) != 3 or not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers):
        raise ValueError(f"mean and std must be three finite numbers each, got {mean} and {std}")
    if not all(0 <= number <= 1 for number in mean):
        raise ValueError(f"mean must be in [0, 1], as pixels are before they are normalised, got {mean}")
    if not all(LEAST_STD <= number <= LARGEST_STD for number in std):
        raise ValueError(f"std must be in [{LEAST_STD}, {LARGEST_STD:g}], got {std}")
