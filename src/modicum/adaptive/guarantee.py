"""The cheapest knob at which a loss stays below a limit with a stated confidence, whatever the network and the loss.

A. N. Angelopoulos, S. Bates, E. J. Candès, M. I. Jordan, L. Lei, *Learn then Test: Calibrating Predictive Algorithms to
Achieve Risk Control*, 2021 (arXiv 2110.01052), with fixed-sequence testing: knobs are tested one after the other, from
the most expensive to the cheapest, each with the exact binomial bound at the full level. Testing stops at the first
knob that fails, and the last that passed is taken. Then the mean loss at that knob is at most the limit with
probability ``confidence`` over the draw of the samples, if what comes later is drawn like them.

This needs a sequence that does not depend on the samples that it is tested on. All policies here are a function of
scores and a knob, so the sequence is fixed on the scores of *other* samples, whose labels are not used
(`modicum.adaptive.curve.knob_sequence`). A poor sequence makes the knob more expensive, never the statement false.
"""

# N samples
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from scipy.stats import beta
from torch import Tensor

from modicum.adaptive.knobs import is_finite
from modicum.storage.errors import ModicumError


class GuaranteeError(ModicumError, ValueError):
    """Impossible terms of a guarantee, or terms that no knob keeps; the message says what is needed."""


@dataclass(frozen=True)
class Terms:
    """Terms that a guarantee has to keep.

    Attributes:
        max_loss: Limit of the mean loss per sample, in (0, 1).
        confidence: Probability, over the draw of the samples, that the limit holds, in (0, 1).
        num_choices: Number of networks from which this one was chosen by its results on these samples. Above 1, each
            is tested at an equal part of the level, so that the guarantee holds for all of them together (Bonferroni).

    Raises:
        GuaranteeError: If a number is out of its range.
    """

    max_loss: float
    confidence: float = 0.95
    num_choices: int = 1

    def __post_init__(self) -> None:
        for name in ("max_loss", "confidence"):
            value = getattr(self, name)
            if not (is_finite(value) and 0 < value < 1):
                raise GuaranteeError(f"{name} must be a number between 0 and 1, both excluded, got {value}")
        if self.num_choices < 1:
            raise GuaranteeError(f"num_choices must be at least 1, got {self.num_choices}")

    @property
    def level(self) -> float:
        """Probability of error that one test may have."""
        return (1 - self.confidence) / self.num_choices


@dataclass(frozen=True)
class Guarantee:
    """A guarantee, with the test that it rests on.

    Attributes:
        max_loss: Limit of the mean loss, as asked for.
        confidence: As asked for.
        loss: Name of the loss, a word of the task.
        reference: Name of what answers were compared with.
        num_losses: Samples with a loss at the knob.
        num_samples: Samples tested.
        bound: Upper bound of the mean loss at the level of the test; at most ``max_loss``.
        statement: The guarantee in one sentence.
        source: Origin of the samples; None for the calibration part of the run's own data.
        num_choices: See `Terms`.
    """

    max_loss: float
    confidence: float
    loss: str
    reference: str
    num_losses: int
    num_samples: int
    bound: float
    statement: str
    source: str | None = None
    num_choices: int = 1


@dataclass(frozen=True)
class Passed:
    """The last knob of a sequence that passed.

    Attributes:
        knob: The knob.
        num_losses: Samples with a loss at this knob.
        num_samples: Samples tested.
        bound: Upper bound of the mean loss.
    """

    knob: float
    num_losses: int
    num_samples: int
    bound: float


@lru_cache(maxsize=4096)  # knobs in a row often have as many losses
def upper_bound(num_losses: int, num_samples: int, level: float) -> float:
    """Returns the exact (Clopper-Pearson) upper bound of a mean loss of zeros and ones; 1 if there are no samples.

    Args:
        num_losses: Samples with a loss.
        num_samples: All samples.
        level: Probability that the mean loss is above the bound, in (0, 1).
    """
    if num_losses >= num_samples:
        return 1.0
    return float(beta.isf(level, num_losses + 1, num_samples - num_losses))  # not ppf(1 - level), which rounds


def samples_needed(terms: Terms, num_losses: int = 0) -> int:
    """Returns the least number of samples at which a knob with so many losses passes.

    Without losses this is the least n >= ln(level) / ln(1 - max_loss): 598 at 0.5 % and 95 %.
    """
    enough = max(1, math.ceil(math.log(terms.level) / math.log1p(-terms.max_loss))) + num_losses
    while upper_bound(num_losses, enough, terms.level) > terms.max_loss:  # doubles at most some dozen times
        enough *= 2
    too_few = num_losses
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if upper_bound(num_losses, middle, terms.level) <= terms.max_loss:
            enough = middle
        else:
            too_few = middle
    return enough


def find_last_passing(
    knobs: Iterable[float], losses: Callable[[float], Tensor], terms: Terms, *, noun: str = "samples"
) -> Passed:
    """Tests knobs in their order, stops at the first that fails, and returns the last that passed.

    Args:
        knobs: From the most expensive to the cheapest; fixed without a look at the samples.
        losses: From a knob to whether each sample has a loss, (N,) bool or of zeros and ones; asked up to the first
            failure alone.
        terms: Limit of the loss, and confidence.
        noun: Word for samples in messages.

    Raises:
        GuaranteeError: If not even the first knob passes; the message says how many samples would be needed, and what
            these can guarantee.
        ValueError: If there is no knob, or a loss is neither 0 nor 1.
    """
    passed = None
    for knob in knobs:
        found = _test(knob, losses(knob), terms)
        if found.bound > terms.max_loss:
            if passed is None:
                raise GuaranteeError(_tell_failure(found, terms, noun))
            break
        passed = found
    if passed is None:
        raise ValueError("a sequence needs at least one knob")
    return passed


def _test(knob: float, lost: Tensor, terms: Terms) -> Passed:
    if not ((lost == 0) | (lost == 1)).all():
        raise ValueError("losses must be 0 or 1, for the bound is that of a binomial distribution")
    count, num_losses = len(lost), int(lost.sum())
    return Passed(knob, num_losses, count, upper_bound(num_losses, count, terms.level))


def _tell_failure(found: Passed, terms: Terms, noun: str) -> str:
    lost, count, asked = found.num_losses, found.num_samples, f"{100 * terms.confidence:.6g} % confidence"
    needed = f"that takes at least {samples_needed(terms):,} {noun} without a loss"
    if lost:
        needed += f", or {samples_needed(terms, lost):,} with {lost:,} losses"
    choices = f" (one of {terms.num_choices:,} networks was chosen on them)" if terms.num_choices > 1 else ""
    return (
        f"no knob keeps the loss below {_percent(terms.max_loss)} with {asked}: the most expensive one has {lost:,} "
        f"losses on {count:,} {noun}{choices}, which can guarantee {_percent_above(found.bound)} at best; {needed}: "
        f"allow a larger loss, or give more {noun}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _percent_above(share: float) -> str:
    """Formats a share rounded up, so that it is a limit that holds."""
    digits = 4 - math.ceil(math.log10(100 * share)) if share > 0 else 0
    return f"{min(100.0, math.ceil(100 * share * 10**digits) / 10**digits):.4g} %"
