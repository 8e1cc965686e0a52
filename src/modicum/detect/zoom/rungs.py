"""Prices that a Q-net plans for, of which some are replaced so that the cost falls (needs no torch)."""
# L rungs

from collections.abc import Sequence

from modicum.adaptive.knobs import check_knob


def price_of_rung(prices: Sequence[float], used: Sequence[int], knob: float) -> float:
    """Returns the price to plan for at a knob: that of the rung at or below it, the first below all.

    Args:
        prices: Of the L rungs, rising.
        used: For each rung, the one whose plan is taken.
        knob: A price.
    """
    at_or_below = sum(price <= check_knob(knob) for price in prices)
    return prices[used[max(at_or_below - 1, 0)]]
