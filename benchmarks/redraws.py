"""Certifies losses on images that are drawn again and again, from what every knob gave on them, computed once.

Two kinds of draw, both from a pool of images on which neither networks nor knobs were fitted:

- some images certify, all others test. The others scatter by themselves, and what one side has too few of, the other
  has too many of; so the loss on them is above the limit more often than the true loss is.
- images that certify are drawn with replacement, and the true loss of a knob is that on the whole pool. This is what
  a guarantee is about: at 95 % confidence it may fail in 5 % of the draws.
"""

import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from modicum.adaptive.guarantee import GuaranteeError, Terms, find_last_passing

COLUMNS = ("certified", "of plain", "accuracy", "lost", "lost more than the limit", "guarantee fails")


class Knobs(NamedTuple):
    """What each knob of a sequence, most expensive first, gives on every image of a pool."""

    lost: Tensor  # (P, N) bool: whether only the reference classifies the image right
    hits: Tensor  # (P, N) bool
    shares: Tensor  # (P, N) float64: multiply-adds, as a share of the reference's


class Tested(NamedTuple):
    """Means of a certified knob over the images that test it."""

    lost: float
    hits: float
    share: float


def print_redraws(pools: Sequence[Knobs], losses: Sequence[float], num_certifying: int, num_draws: int) -> None:
    """Prints a table with a row for each loss: means over so many draws of every pool.

    Args:
        pools: As many as there are cascades.
        losses: Limits, each certified at 95 %.
        num_certifying: Images of each draw that certify.
        num_draws: Draws of either kind from each pool.
    """
    print(f"\n| {len(pools)} x {num_draws} draws, {num_certifying} images certify | {' | '.join(COLUMNS)} |")
    print(f"|{' --- |' * (1 + len(COLUMNS))}")
    for loss in losses:
        terms, generator = Terms(loss), torch.Generator().manual_seed(0)
        drawn = [each for pool in pools for each in _halves(pool, terms, num_certifying, num_draws, generator)]
        failures = [_fails(pool, terms, num_certifying, generator) for pool in pools for _ in range(num_draws)]
        print(f"| at most {loss:.1%} lost | {' | '.join([*_describe(drawn, loss), _share(failures)])} |", flush=True)


def certify(pool: Knobs, images: Tensor, terms: Terms) -> int | None:
    """Returns the place of the cheapest knob that images (n,) certify; None if they certify none."""
    try:
        passed = find_last_passing(range(len(pool.lost)), lambda place: pool.lost[int(place), images], terms)
    except GuaranteeError:
        return None
    return int(passed.knob)  # a place, as it was given


def _halves(
    pool: Knobs, terms: Terms, num_certifying: int, num_draws: int, generator: torch.Generator
) -> Iterator[Tested | None]:
    """Certifies on some images, and tests on all others; None where no knob is certified."""
    for _ in range(num_draws):
        order = torch.randperm(pool.lost.shape[1], generator=generator)
        certifying, testing = order[:num_certifying], order[num_certifying:]
        place = certify(pool, certifying, terms)
        yield None if place is None else Tested(*(float(rows[place, testing].double().mean()) for rows in pool))


def _fails(pool: Knobs, terms: Terms, num_certifying: int, generator: torch.Generator) -> bool:
    """Tells whether images drawn with replacement certify a knob that loses more than the limit on the pool."""
    images = torch.randint(pool.lost.shape[1], (num_certifying,), generator=generator)
    place = certify(pool, images, terms)
    return place is not None and float(pool.lost[place].double().mean()) > terms.max_loss


def _describe(drawn: Sequence[Tested | None], limit: float) -> list[str]:
    found = [each for each in drawn if each is not None]
    cells = [_share([each is not None for each in drawn])]
    if not found:
        return [*cells, "", "", "", ""]
    lost, hits, share = (statistics.mean(column) for column in zip(*found, strict=True))
    return [*cells, f"{share:.1%}", f"{hits:.1%}", f"{lost:.2%}", _share([each.lost > limit for each in found])]


def _share(flags: Sequence[bool]) -> str:
    return f"{sum(flags) / len(flags):.1%}"
