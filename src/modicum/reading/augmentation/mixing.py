"""How often original and paraphrased questions are drawn; Yu et al., 2018 found 3 : 1 : 1 best for two pivots."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from modicum.reading.data.corpus import Asked, Corpus

ORIGINAL = "original"


def mixing_ratios(corpus: Corpus, original: float = 3.0) -> dict[str, float]:
    """The ratios of the paper for whatever sources a corpus has: ``original`` to 1 for each other.

    Example:
        >>> from modicum.reading.data.corpus import Passage, Question, Answer
        >>> mixing_ratios(Corpus((Passage("x", (Question("q", "x?", (Answer("x", 0),)),)),), "1.1"))
        {'original': 3.0}
    """
    sources = sorted({_source(asked) for asked in corpus.asked()} - {ORIGINAL})
    return {ORIGINAL: original} | dict.fromkeys(sources, 1.0)


def mixing_weights(corpus: Corpus, ratios: Mapping[str, float]) -> list[float]:
    """The probability with which each question is to be drawn, in the order of `Corpus.asked`; they sum to 1.

    Args:
        corpus: Original and augmented passages together.
        ratios: How often each source is drawn, relative to the others: "original" for what people wrote, the source
            of the origin for the rest; 0 leaves a source out.

    Raises:
        ValueError: If a source has no ratio, a ratio names a source without questions, is negative or not finite, or
            all are 0.
    """
    sources = [_source(asked) for asked in corpus.asked()]
    counts = Counter(sources)
    if set(counts) != set(ratios):
        raise ValueError(f"ratios must be given for just the sources {sorted(counts)}, got {sorted(ratios)}")
    total = sum(ratios.values())
    if not (min(ratios.values(), default=0.0) >= 0 and 0 < total < float("inf")):
        raise ValueError(f"ratios must be finite, none negative, and not all 0; got {dict(ratios)}")
    return [ratios[source] / total / counts[source] for source in sources]


def draw_mixture(weights: Sequence[float], total: int, rng: np.random.Generator) -> list[int]:
    """Places of the questions of one epoch, in random order, each as often as its weight says, rounded up or down.

    Args:
        weights: By `mixing_weights`; they sum to 1.
        total: Questions of the epoch.
        rng: Decides which are rounded up, and the order.
    """
    # Systematic sampling over a shuffled list: unlike independent draws, no question is forgotten by chance.
    order = rng.permutation(len(weights))
    bounds = np.cumsum(np.asarray(weights, float)[order])
    points = (np.arange(total) + rng.random()) / total * bounds[-1]
    drawn = order[np.minimum(np.searchsorted(bounds, points, side="right"), len(order) - 1)]
    return [int(place) for place in rng.permutation(drawn)]


def _source(asked: Asked) -> str:
    return ORIGINAL if asked.passage.origin is None else asked.passage.origin.source
