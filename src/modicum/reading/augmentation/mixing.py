"""How often original and paraphrased questions are drawn; Yu et al., 2018 found 3 : 1 : 1 best for two pivots."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from modicum.reading.data.corpus import Origin

ORIGINAL = "original"


def mixing_ratios(origins: Iterable[Origin | None], original: float = 3.0) -> dict[str, float]:
    """Returns the paper's ratios for the sources that occur: ``original`` to 1 for each other source.

    Args:
        origins: Origin of each question that can be drawn; None for original questions.
        original: Ratio of the original questions.

    Example:
        >>> mixing_ratios([None, Origin("fr", "back-translation", 0.9), Origin("de", "back-translation", 0.8)])
        {'de': 1.0, 'fr': 1.0, 'original': 3.0}
    """
    return {source: original if source == ORIGINAL else 1.0 for source in sorted(set(map(_source, origins)))}


def mixing_weights(origins: Sequence[Origin | None], ratios: Mapping[str, float]) -> list[float]:
    """Returns the probability of drawing each question; they sum to 1.

    Args:
        origins: Origin of each question that can be drawn; None for original questions.
        ratios: How often each source is drawn, relative to the others: "original" for original questions, the source
            of the origin for augmented ones; 0 leaves a source out.

    Raises:
        ValueError: If a source has no ratio, a ratio names a source without questions, is negative or not finite, or
            all are 0.
    """
    sources = list(map(_source, origins))
    counts = Counter(sources)
    if set(counts) != set(ratios):
        raise ValueError(f"ratios must be given for just the sources {sorted(counts)}, got {sorted(ratios)}")
    total = sum(ratios.values())
    if not (min(ratios.values(), default=0.0) >= 0 and 0 < total < float("inf")):
        raise ValueError(f"ratios must be finite, none negative, and not all 0; got {dict(ratios)}")
    return [ratios[source] / total / counts[source] for source in sources]


def draw_mixture(weights: Sequence[float], total: int, rng: np.random.Generator) -> list[int]:
    """Draws the questions of one epoch, as indices in random order, each as often as its weight says (rounded).

    Args:
        weights: By `mixing_weights`; they sum to 1.
        total: Questions of the epoch.
        rng: Decides which are rounded up or down, and the order.
    """
    # Systematic sampling over a shuffled list: unlike independent draws, no question is forgotten by chance.
    order = rng.permutation(len(weights))
    bounds = np.cumsum(np.asarray(weights, float)[order])
    points = (np.arange(total) + rng.random()) / total * bounds[-1]
    drawn = order[np.minimum(np.searchsorted(bounds, points, side="right"), len(order) - 1)]
    return [int(place) for place in rng.permutation(drawn)]


def _source(origin: Origin | None) -> str:
    return ORIGINAL if origin is None else origin.source
